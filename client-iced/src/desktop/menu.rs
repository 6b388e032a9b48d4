//! The menu of the sign in the tray, as com.canonical.dbusmenu.

use std::collections::HashMap;

use tokio::sync::{mpsc, watch};
use zbus::fdo;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{OwnedValue, Value};

use super::{News, Sign};

/// Where trays look for it.
pub(super) const PATH: &str = "/MenuBar";
/// The root and its lines: show, lock, a separator, end.
const IDS: [i32; 5] = [0, 1, 2, 3, 4];

type Properties = HashMap<String, OwnedValue>;
/// Its number, what it is like, and the lines below it.
type Line = (i32, Properties, Vec<OwnedValue>);

/// What a tray asks for.
pub(super) struct Menu {
    sign: watch::Receiver<Sign>,
    news: mpsc::Sender<News>,
    /// Counts what it was.
    pub(super) revision: u32,
}

impl Menu {
    pub(super) fn new(sign: watch::Receiver<Sign>, news: mpsc::Sender<News>) -> Self {
        Self { sign, news, revision: 1 }
    }

    /// Of a line, with all that is not as it is by itself.
    fn properties(&self, id: i32) -> Option<HashMap<String, Value<'static>>> {
        let sign = self.sign.borrow();
        let [show, lock, quit] = &sign.menu;
        let label = |words: &str| ("label".to_owned(), Value::from(words.replace('_', "__")));
        Some(match id {
            0 => HashMap::from([("children-display".to_owned(), Value::from("submenu"))]),
            1 => HashMap::from([label(show)]),
            2 => HashMap::from([label(lock)]),
            3 => HashMap::from([("type".to_owned(), Value::from("separator"))]),
            4 => HashMap::from([label(quit)]),
            _ => return None,
        })
    }

    async fn pressed(&self, id: i32, event: &str) {
        if event != "clicked" {
            return;
        }
        let told = match id {
            1 => News::Show,
            2 => News::Lock,
            4 => News::Quit,
            _ => return,
        };
        let _closed = self.news.send(told).await;
    }
}

fn owned(properties: HashMap<String, Value<'static>>) -> fdo::Result<Properties> {
    let own = |(name, value): (String, Value<'static>)| Ok((name, value.try_into_owned()?));
    properties
        .into_iter()
        .map(own)
        .collect::<zbus::zvariant::Result<_>>()
        .map_err(|error| fdo::Error::Failed(error.to_string()))
}

fn unknown(id: i32) -> fdo::Error {
    fdo::Error::InvalidArgs(format!("no line {id}"))
}

#[zbus::interface(name = "com.canonical.dbusmenu")]
impl Menu {
    #[zbus(property)]
    fn version(&self) -> u32 {
        3
    }

    #[zbus(property)]
    fn status(&self) -> &str {
        "normal"
    }

    #[zbus(property)]
    fn text_direction(&self) -> &str {
        "ltr"
    }

    #[zbus(property)]
    fn icon_theme_path(&self) -> Vec<String> {
        Vec::new()
    }

    /// The line with this number, and those below it.
    fn get_layout(
        &self,
        parent_id: i32,
        recursion_depth: i32,
        _property_names: Vec<String>,
    ) -> fdo::Result<(u32, Line)> {
        let properties = owned(self.properties(parent_id).ok_or_else(|| unknown(parent_id))?)?;
        let mut children = Vec::new();
        if parent_id == 0 && recursion_depth != 0 {
            for id in IDS.into_iter().skip(1) {
                let line = (id, self.properties(id).unwrap_or_default(), Vec::<Value<'static>>::new());
                let line = Value::from(line).try_into_owned();
                children.push(line.map_err(|error| fdo::Error::Failed(error.to_string()))?);
            }
        }
        Ok((self.revision, (parent_id, properties, children)))
    }

    fn get_group_properties(&self, ids: Vec<i32>, _property_names: Vec<String>) -> fdo::Result<Vec<(i32, Properties)>> {
        let wanted = if ids.is_empty() { IDS.to_vec() } else { ids };
        let of = |id: i32| Ok((id, owned(self.properties(id).unwrap_or_default())?));
        wanted.into_iter().filter(|id| IDS.contains(id)).map(of).collect()
    }

    fn get_property(&self, id: i32, name: &str) -> fdo::Result<OwnedValue> {
        let mut properties = owned(self.properties(id).ok_or_else(|| unknown(id))?)?;
        properties.remove(name).ok_or_else(|| fdo::Error::InvalidArgs(format!("no property {name}")))
    }

    async fn event(&self, id: i32, event_id: &str, _data: Value<'_>, _timestamp: u32) {
        self.pressed(id, event_id).await;
    }

    async fn event_group(&self, events: Vec<(i32, String, OwnedValue, u32)>) -> Vec<i32> {
        for (id, event, ..) in &events {
            self.pressed(*id, event).await;
        }
        events.into_iter().map(|(id, ..)| id).filter(|id| !IDS.contains(id)).collect()
    }

    fn about_to_show(&self, _id: i32) -> bool {
        false
    }

    fn about_to_show_group(&self, ids: Vec<i32>) -> (Vec<i32>, Vec<i32>) {
        (Vec::new(), ids.into_iter().filter(|id| !IDS.contains(id)).collect())
    }

    #[zbus(signal)]
    pub(super) async fn layout_updated(emitter: &SignalEmitter<'_>, revision: u32, parent: i32) -> zbus::Result<()>;
}
