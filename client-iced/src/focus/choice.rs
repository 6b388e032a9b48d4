//! One of several from a menu. iced's own knows the pointer only: with keys the same menu is opened here, and an arrow, Enter and
//! Escape go to it.

use iced::advanced::layout::{self, Layout};
use iced::advanced::widget::{Operation, Tree, Widget, tree};
use iced::advanced::{Clipboard, Shell, mouse, overlay, renderer};
use iced::keyboard::Modifiers;
use iced::keyboard::key::Named;
use iced::overlay::menu::{self, Menu};
use iced::{Element, Event, Length, Padding, Rectangle, Renderer, Size, Theme, Vector, widget};

use super::{State as Focus, is_held, named, presses, ring};
use crate::theme::styles;

/// Around the words, in logical pixels.
const PADDING: [u16; 2] = [8, 12];

/// What is done when one of them is chosen.
type Chosen<'a, T, Message> = std::rc::Rc<dyn Fn(T) -> Message + 'a>;

/// One of several.
pub struct Choice<'a, T, Message> {
    inner: Element<'a, Message>,
    all: Vec<T>,
    now: Option<usize>,
    letters: u32,
    chosen: Chosen<'a, T, Message>,
    class: menu::StyleFn<'a, Theme>,
}

/// Of these, that one now; in letters of this size, and as wide as this says.
pub fn choice<'a, T: ToString + PartialEq + Clone + 'a, Message: Clone + 'a>(
    all: Vec<T>,
    now: T,
    letters: u32,
    width: impl Into<Length>,
    chosen: impl Fn(T) -> Message + 'a,
) -> Choice<'a, T, Message> {
    let at = all.iter().position(|it| *it == now);
    let chosen: Chosen<'a, T, Message> = std::rc::Rc::new(chosen);
    let told = std::rc::Rc::clone(&chosen);
    #[expect(clippy::disallowed_methods, reason = "keys are given to it here")]
    let inner = widget::pick_list(all.clone(), Some(now), move |it| told(it))
        .text_size(letters)
        .padding(PADDING)
        .width(width)
        .style(styles::choice)
        .menu_style(styles::menu);
    Choice { inner: inner.into(), all, now: at, letters, chosen, class: Box::new(styles::menu) }
}

/// Whether it has the keyboard, and what its menu is at.
struct State<T> {
    focus: Focus,
    menu: menu::State,
    open: bool,
    at: Option<usize>,
    of: std::marker::PhantomData<fn(T)>,
}

/// What a key does.
#[derive(Debug, PartialEq, Eq)]
enum Deed {
    Open,
    Go(usize),
    Take,
    Close,
}

/// What a key does to a menu of so many that is open at one of them, or that is closed.
fn deed(key: Named, modifiers: Modifiers, open: Option<Option<usize>>, count: usize) -> Option<Deed> {
    let last = count.saturating_sub(1);
    match (key, open) {
        (Named::ArrowDown | Named::ArrowUp, None) if modifiers.is_empty() => Some(Deed::Open),
        (key, None) if presses(key, modifiers) => Some(Deed::Open),
        (_, None) => None,
        (key, Some(_)) if presses(key, modifiers) => Some(Deed::Take),
        (Named::ArrowDown, Some(at)) => Some(Deed::Go(at.map_or(0, |at| (at + 1).min(last)))),
        (Named::ArrowUp, Some(at)) => Some(Deed::Go(at.map_or(last, |at| at.saturating_sub(1)))),
        (Named::Home, Some(_)) => Some(Deed::Go(0)),
        (Named::End, Some(_)) => Some(Deed::Go(last)),
        (Named::Escape, Some(_)) => Some(Deed::Close),
        (_, Some(_)) => None,
    }
}

impl<T: Clone + 'static, Message> Choice<'_, T, Message> {
    /// A key, while this has the keyboard. Tab leaves, and closes.
    fn key(&self, state: &mut State<T>, event: &Event, shell: &mut Shell<'_, Message>) {
        let Some((key, modifiers)) = named(event) else { return };
        let open = state.open.then_some(state.at);
        let Some(deed) =
            deed(key, modifiers, open, self.all.len()).filter(|_| !presses(key, modifiers) || !is_held(event))
        else {
            state.open &= key != Named::Tab;
            return;
        };
        match deed {
            Deed::Open => (state.open, state.at) = (true, self.now),
            Deed::Go(to) => state.at = Some(to),
            Deed::Close => state.open = false,
            Deed::Take => {
                state.open = false;
                let taken = state.at.filter(|at| Some(*at) != self.now).and_then(|at| self.all.get(at));
                if let Some(taken) = taken {
                    shell.publish((self.chosen)(taken.clone()));
                }
            }
        }
        shell.capture_event();
        shell.invalidate_layout();
        shell.request_redraw();
    }
}

impl<'a, T: ToString + Clone + 'static, Message: 'a> Widget<Message, Theme, Renderer> for Choice<'a, T, Message> {
    fn tag(&self) -> tree::Tag {
        tree::Tag::of::<State<T>>()
    }

    fn state(&self) -> tree::State {
        tree::State::new(State::<T> {
            focus: Focus::default(),
            menu: menu::State::new(),
            open: false,
            at: None,
            of: std::marker::PhantomData,
        })
    }

    fn children(&self) -> Vec<Tree> {
        vec![Tree::new(&self.inner)]
    }

    fn diff(&self, tree: &mut Tree) {
        tree.diff_children(std::slice::from_ref(&self.inner));
    }

    fn size(&self) -> Size<Length> {
        self.inner.as_widget().size()
    }

    fn layout(&mut self, tree: &mut Tree, renderer: &Renderer, limits: &layout::Limits) -> layout::Node {
        match tree.children.first_mut() {
            Some(inner) => self.inner.as_widget_mut().layout(inner, renderer, limits),
            None => layout::Node::default(),
        }
    }

    fn operate(&mut self, tree: &mut Tree, layout: Layout<'_>, _: &Renderer, operation: &mut dyn Operation) {
        let state = &mut tree.state.downcast_mut::<State<T>>().focus;
        operation.custom(None, layout.bounds(), state);
        operation.focusable(None, layout.bounds(), state);
    }

    fn update(
        &mut self,
        tree: &mut Tree,
        event: &Event,
        layout: Layout<'_>,
        cursor: mouse::Cursor,
        renderer: &Renderer,
        clipboard: &mut dyn Clipboard,
        shell: &mut Shell<'_, Message>,
        viewport: &Rectangle,
    ) {
        let state = tree.state.downcast_mut::<State<T>>();
        if super::is_pointed(event) && (state.open || state.focus.has_keys) {
            (state.open, state.focus.has_keys) = (false, false);
            shell.invalidate_layout();
            shell.request_redraw();
        }
        state.open &= state.focus.has_keys;
        if state.focus.has_keys && !shell.is_event_captured() {
            self.key(state, event, shell);
        }
        if let Some(inner) = tree.children.first_mut() {
            let content = self.inner.as_widget_mut();
            content.update(inner, event, layout, cursor, renderer, clipboard, shell, viewport);
        }
    }

    fn draw(
        &self,
        tree: &Tree,
        renderer: &mut Renderer,
        theme: &Theme,
        style: &renderer::Style,
        layout: Layout<'_>,
        cursor: mouse::Cursor,
        viewport: &Rectangle,
    ) {
        use iced::advanced::Renderer as _;
        if let Some(inner) = tree.children.first() {
            self.inner.as_widget().draw(inner, renderer, theme, style, layout, cursor, viewport);
        }
        if tree.state.downcast_ref::<State<T>>().focus.has_keys {
            renderer.with_layer(*viewport, |renderer| ring(renderer, theme, layout.bounds(), viewport));
        }
    }

    fn mouse_interaction(
        &self,
        tree: &Tree,
        layout: Layout<'_>,
        cursor: mouse::Cursor,
        viewport: &Rectangle,
        renderer: &Renderer,
    ) -> mouse::Interaction {
        let content = self.inner.as_widget();
        tree.children.first().map_or_else(mouse::Interaction::default, |inner| {
            content.mouse_interaction(inner, layout, cursor, viewport, renderer)
        })
    }

    fn overlay<'b>(
        &'b mut self,
        tree: &'b mut Tree,
        layout: Layout<'b>,
        renderer: &Renderer,
        viewport: &Rectangle,
        translation: Vector,
    ) -> Option<overlay::Element<'b, Message, Theme, Renderer>> {
        let State { menu, open, at, .. } = tree.state.downcast_mut::<State<T>>();
        if !*open {
            let inner = tree.children.first_mut()?;
            return self.inner.as_widget_mut().overlay(inner, layout, renderer, viewport, translation);
        }
        let chosen = &self.chosen;
        let taken = move |it| {
            *open = false;
            chosen(it)
        };
        let bounds = layout.bounds();
        let menu = Menu::new(menu, &self.all, at, taken, None, &self.class)
            .width(bounds.width)
            .padding(Padding::from(PADDING))
            .text_size(self.letters);
        Some(menu.overlay(layout.position() + translation, *viewport, bounds.height, Length::Shrink))
    }
}

impl<'a, T: ToString + Clone + 'static, Message: 'a> From<Choice<'a, T, Message>> for Element<'a, Message> {
    fn from(choice: Choice<'a, T, Message>) -> Self {
        Element::new(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_through_a_menu_and_others_are_the_windows() {
        let press = |named, open| deed(named, Modifiers::empty(), open, 3);
        for opens in [Named::Enter, Named::Space, Named::ArrowDown] {
            assert_eq!(press(opens, None), Some(Deed::Open));
        }
        assert_eq!(press(Named::Escape, None), None, "one step back is the window's");
        assert_eq!(press(Named::ArrowDown, Some(Some(2))), Some(Deed::Go(2)), "no further");
        assert_eq!(press(Named::ArrowUp, Some(Some(2))), Some(Deed::Go(1)));
        assert_eq!(press(Named::End, Some(None)), Some(Deed::Go(2)));
        assert_eq!(press(Named::Escape, Some(Some(1))), Some(Deed::Close));
        assert_eq!(press(Named::Enter, Some(Some(1))), Some(Deed::Take));
        let with_control = deed(Named::F1, Modifiers::CTRL, Some(Some(1)), 3);
        assert_eq!(with_control, None);
    }
}
