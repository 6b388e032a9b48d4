//! How the keyboard goes from one thing to another: in the order in which they are read, and no further than the uppermost thing
//! that lies over the others, which is marked by a container named [`LAYER`]. iced's own walk goes through what is covered too.
//! What gets the keyboard is brought before the eyes.

use std::any::Any;

use iced::advanced::widget::operation::{Focusable, Outcome, Scrollable, scrollable::AbsoluteOffset};
use iced::advanced::widget::{Id, Operation};
use iced::{Rectangle, Vector};

use super::{State, ground};
use crate::ui::id;

/// Of containers that lie over everything before them.
pub const LAYER: &str = "layer";
/// Between what has the keyboard and the edge of what it is scrolled in, in logical pixels.
const MARGIN: f32 = 12.0;
/// How much of a page stays before the eyes when it is turned.
const PAGE: f32 = 0.85;

/// Where the keyboard goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To what is read next; from the last on the first.
    Next,
    /// To what is read before.
    Back,
    /// To the first of the uppermost layer.
    First,
    /// To the field of this name; it is nowhere when that is not there.
    To(&'static str),
    /// To what had it before something came over it, else to the field of this name, else to the first.
    Return(&'static str),
    /// To the stop of this number, counted from the first of all, but only when nothing has the keyboard.
    Keep(usize),
}

/// Something that scrolls: what is shown of it, all of it, and how far it is.
#[derive(Clone, Copy, Debug)]
struct Pane {
    number: usize,
    shown: Rectangle,
    all: Rectangle,
    moved: Vector,
    /// Places in it are counted from its end.
    from_end: bool,
}

/// What is met on a way through the tree of widgets: so many stops, so many panes, and the panes that this is in.
#[derive(Debug, Default)]
struct Met {
    stops: usize,
    panes: usize,
    around: Vec<Pane>,
    entering: Option<Pane>,
}

impl Met {
    fn pane(&mut self, name: Option<&Id>, shown: Rectangle, all: Rectangle, moved: Vector) -> Pane {
        let from_end = name == Some(&Id::new(id::TIMELINE));
        let pane = Pane { number: self.panes, shown, all, moved, from_end };
        self.panes += 1;
        self.entering = Some(pane);
        pane
    }

    /// Goes into what was met last.
    fn enter(&mut self) -> usize {
        let before = self.around.len();
        self.around.extend(self.entering.take());
        before
    }

    fn leave(&mut self, before: usize) {
        self.around.truncate(before);
    }
}

/// First looks at all there is.
#[derive(Debug)]
struct Look {
    way: Way,
    met: Met,
    /// The first of the uppermost layer.
    first: usize,
    /// What has the keyboard.
    here: Option<usize>,
    /// The keyboard is before this, at something that answers no key any more.
    before: Option<usize>,
    named: Option<usize>,
    left: Option<usize>,
}

/// Gives the keyboard away.
pub fn walk<T: Send + 'static>(way: Way) -> impl Operation<T> {
    Look { way, met: Met::default(), first: 0, here: None, before: None, named: None, left: None }
}

impl Look {
    fn target(&self) -> Option<usize> {
        let (first, end) = (self.first, self.met.stops);
        let count = end.checked_sub(first).filter(|count| *count > 0)?;
        let of_layer = |at: Option<usize>| at.filter(|at| *at >= first && *at < end);
        let (here, before) = (of_layer(self.here), self.before.filter(|at| *at >= first));
        match self.way {
            Way::Next => Some(match (here, before) {
                (Some(at), _) => first + (at + 1 - first) % count,
                (None, Some(at)) => first + (at - first) % count,
                (None, None) => first,
            }),
            Way::Back => {
                let at = here.or(before).unwrap_or(first);
                Some(first + (at - first + count - 1) % count)
            }
            Way::First => Some(first),
            Way::To(_) => self.named,
            Way::Keep(last) => Some(last.clamp(first, end.saturating_sub(1))),
            Way::Return(_) => of_layer(self.left).or_else(|| of_layer(self.named)).or(Some(first)),
        }
    }
}

impl<T: Send + 'static> Operation<T> for Look {
    fn traverse(&mut self, operate: &mut dyn FnMut(&mut dyn Operation<T>)) {
        let before = self.met.enter();
        operate(self);
        self.met.leave(before);
    }

    fn container(&mut self, name: Option<&Id>, _: Rectangle) {
        if name == Some(&Id::new(LAYER)) {
            self.first = self.met.stops;
        }
    }

    fn focusable(&mut self, name: Option<&Id>, _: Rectangle, state: &mut dyn Focusable) {
        let at = self.met.stops;
        if state.is_focused() {
            self.here = Some(at);
        }
        if let Way::To(wanted) | Way::Return(wanted) = self.way
            && name == Some(&Id::new(wanted))
        {
            self.named = Some(at);
        }
        self.met.stops += 1;
    }

    fn custom(&mut self, _: Option<&Id>, _: Rectangle, state: &mut dyn Any) {
        let Some(state) = state.downcast_mut::<State>() else { return };
        if state.idle && state.has_keys {
            self.before = Some(self.met.stops);
        }
        if state.left && !state.idle {
            self.left = Some(self.met.stops);
        }
    }

    fn finish(&self) -> Outcome<T> {
        if matches!(self.way, Way::Keep(_)) && self.here.or(self.before).is_some() {
            return Outcome::None;
        }
        let (first, target) = (self.first, self.target());
        Outcome::Chain(Box::new(Land { met: Met::default(), first, target, bring: Vec::new() }))
    }
}

/// Then gives the keyboard to one of them, and takes it from all others.
#[derive(Debug)]
struct Land {
    met: Met,
    first: usize,
    target: Option<usize>,
    bring: Vec<(usize, f32)>,
}

/// By how much each of these panes is to be scrolled to bring this before the eyes, the innermost first.
fn bring(what: Rectangle, around: &[Pane]) -> Vec<(usize, f32)> {
    let moved = |panes: &[Pane]| panes.iter().map(|pane| pane.moved.y).sum::<f32>();
    // Of what is to be seen, in the window.
    let mut top = what.y - moved(around);
    let mut bring = Vec::new();
    for (at, pane) in around.iter().enumerate().rev() {
        let from = pane.shown.y - around.get(..at).map_or(0.0, moved);
        let (over, under) = (top - MARGIN - from, top + what.height + MARGIN - from - pane.shown.height);
        let by = match (over < 0.0, under > 0.0) {
            (true, _) => over,
            // Of what is higher than the pane, its beginning is shown.
            (false, true) => under.min(over),
            (false, false) => 0.0,
        };
        let most = (pane.all.height - pane.shown.height).max(0.0);
        let by = (pane.moved.y + by).clamp(0.0, most) - pane.moved.y;
        if by.abs() > 0.5 {
            bring.push((pane.number, if pane.from_end { -by } else { by }));
        }
        top -= by;
    }
    bring
}

impl<T: Send + 'static> Operation<T> for Land {
    fn traverse(&mut self, operate: &mut dyn FnMut(&mut dyn Operation<T>)) {
        let before = self.met.enter();
        operate(self);
        self.met.leave(before);
    }

    fn scrollable(
        &mut self,
        name: Option<&Id>,
        shown: Rectangle,
        all: Rectangle,
        moved: Vector,
        _: &mut dyn Scrollable,
    ) {
        self.met.pane(name, shown, all, moved);
    }

    fn focusable(&mut self, _: Option<&Id>, bounds: Rectangle, state: &mut dyn Focusable) {
        if self.target == Some(self.met.stops) {
            state.focus();
            self.bring = bring(bounds, &self.met.around);
        } else {
            state.unfocus();
        }
        self.met.stops += 1;
    }

    /// Comes before the same as something that can have the keyboard.
    fn custom(&mut self, _: Option<&Id>, _: Rectangle, state: &mut dyn Any) {
        if let Some(ground) = state.downcast_mut::<ground::State>() {
            ground.last = self.target;
        }
        let Some(state) = state.downcast_mut::<State>() else { return };
        let covered = self.met.stops < self.first;
        state.left = covered && (state.left || state.has_keys);
        if state.idle {
            state.has_keys = false;
        }
    }

    fn finish(&self) -> Outcome<T> {
        match self.bring.is_empty() {
            true => Outcome::None,
            false => Outcome::Chain(Box::new(Scroll { met: Met::default(), by: self.bring.clone() })),
        }
    }
}

/// At last scrolls panes by their number.
#[derive(Debug)]
struct Scroll {
    met: Met,
    by: Vec<(usize, f32)>,
}

impl<T> Operation<T> for Scroll {
    fn traverse(&mut self, operate: &mut dyn FnMut(&mut dyn Operation<T>)) {
        operate(self);
    }

    fn scrollable(
        &mut self,
        name: Option<&Id>,
        shown: Rectangle,
        all: Rectangle,
        moved: Vector,
        state: &mut dyn Scrollable,
    ) {
        let pane = self.met.pane(name, shown, all, moved);
        if let Some((_, y)) = self.by.iter().find(|(number, _)| *number == pane.number) {
            state.scroll_by(AbsoluteOffset { x: 0.0, y: *y }, shown, all);
        }
    }
}

/// Turns a page of what the keyboard is in, or else of the largest thing that scrolls in the uppermost layer.
#[derive(Debug)]
struct Turn {
    down: bool,
    met: Met,
    here: Option<Pane>,
    largest: Option<Pane>,
}

/// One page on, or back.
pub fn turn<T: Send + 'static>(down: bool) -> impl Operation<T> {
    Turn { down, met: Met::default(), here: None, largest: None }
}

impl<T: Send + 'static> Operation<T> for Turn {
    fn traverse(&mut self, operate: &mut dyn FnMut(&mut dyn Operation<T>)) {
        let before = self.met.enter();
        operate(self);
        self.met.leave(before);
    }

    fn container(&mut self, name: Option<&Id>, _: Rectangle) {
        if name == Some(&Id::new(LAYER)) {
            (self.here, self.largest) = (None, None);
        }
    }

    fn scrollable(
        &mut self,
        name: Option<&Id>,
        shown: Rectangle,
        all: Rectangle,
        moved: Vector,
        _: &mut dyn Scrollable,
    ) {
        let pane = self.met.pane(name, shown, all, moved);
        if self.largest.is_none_or(|largest| shown.area() > largest.shown.area()) {
            self.largest = Some(pane);
        }
    }

    fn focusable(&mut self, _: Option<&Id>, _: Rectangle, state: &mut dyn Focusable) {
        if state.is_focused() {
            self.here = self.met.around.last().copied();
        }
    }

    fn finish(&self) -> Outcome<T> {
        let Some(pane) = self.here.or(self.largest) else { return Outcome::None };
        let by = pane.shown.height * PAGE;
        let by = if self.down == pane.from_end { -by } else { by };
        Outcome::Chain(Box::new(Scroll { met: Met::default(), by: vec![(pane.number, by)] }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 100 pixels' height at this place, with 1 000 in it.
    fn pane(number: usize, y: f32, moved: f32, from_end: bool) -> Pane {
        let all = Rectangle { x: 0.0, y, width: 50.0, height: 1_000.0 };
        Pane { number, shown: Rectangle { height: 100.0, ..all }, all, moved: Vector::new(0.0, moved), from_end }
    }

    fn at(y: f32, height: f32) -> Rectangle {
        Rectangle { x: 0.0, y, width: 50.0, height }
    }

    #[test]
    fn what_has_the_keyboard_is_scrolled_into_sight_and_no_further() {
        let brings = |y: f32, moved: f32| bring(at(y, 20.0), &[pane(3, 10.0, moved, false)]);
        assert_eq!(brings(40.0, 0.0), [], "it is seen");
        assert_eq!(brings(210.0, 0.0), [(3, 210.0 + 20.0 + MARGIN - 110.0)], "its foot at the foot");
        assert_eq!(brings(210.0, 400.0), [(3, 210.0 - MARGIN - 400.0 - 10.0)], "its head at the head");
        assert_eq!(brings(10.0, 5.0), [(3, -5.0)], "there is nothing above the first");
        assert_eq!(brings(1_005.0, 880.0), [(3, 20.0)], "nor below the last");
        let high = bring(at(310.0, 500.0), &[pane(3, 10.0, 0.0, false)]);
        assert_eq!(high, [(3, 300.0 - MARGIN)], "of what is higher than the pane, its head");
    }

    #[test]
    fn places_that_are_counted_from_the_end_go_the_other_way() {
        assert_eq!(bring(at(210.0, 20.0), &[pane(0, 10.0, 0.0, true)]), [(0, -132.0)]);
    }

    #[test]
    fn what_is_around_a_pane_is_scrolled_too() {
        // The inner pane begins 400 pixels down in the outer one, and what is looked for 300 down in the inner one.
        let around = [pane(0, 0.0, 0.0, false), pane(1, 400.0, 0.0, false)];
        let inner = 700.0 + 20.0 + MARGIN - 500.0;
        let outer = 400.0 + 100.0 - 100.0;
        assert_eq!(bring(at(700.0, 20.0), &around), [(1, inner), (0, outer)]);
    }
}
