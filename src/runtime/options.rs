//! Settings in the order in which they were said, and how two layers of them become one.

use super::flag::{Flag, Owner};
use super::value::Value;

/// A flag with its value.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The flag.
    pub flag: &'static Flag,
    /// Its value.
    pub value: Value,
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.flag.name == other.flag.name && self.value == other.value
    }
}

impl Setting {
    /// The flag in its one canonical form: `--flag=value`, or `--flag` where it is true.
    pub fn word(&self) -> String {
        match &self.value {
            Value::Bool(true) => self.flag.to_string(),
            value => format!("{}={value}", self.flag),
        }
    }

    /// The flag's value from text; the error says what is wrong with it.
    ///
    /// # Errors
    /// Where the flag doesn't take this text.
    pub fn parse(flag: &'static Flag, text: &str) -> Result<Self, String> {
        let value = Value::parse(flag.kind, text)?;
        Ok(Self { flag, value })
    }

    /// What of the container it decides, where only one can: a variable, a path, a limit.
    fn decides(&self) -> Option<(&'static str, &str)> {
        match &self.value {
            Value::Assignment(assignment) => Some((self.flag.name, &assignment.name)),
            Value::Ulimit(ulimit) => Some((self.flag.name, &ulimit.name)),
            Value::Volume(volume) => Some(("path", &volume.target)),
            Value::Mount(mount) => Some(("path", &mount.target)),
            Value::Text(text) if self.flag.name == "tmpfs" => {
                Some(("path", text.split(':').next().unwrap_or(text)))
            }
            _ => None,
        }
    }

    /// True if there is no room for `weaker` beside this one.
    fn wins_over(&self, weaker: &Self) -> bool {
        if !self.flag.repeats {
            return self.flag.name == weaker.flag.name;
        }
        self == weaker || self.decides().is_some_and(|d| weaker.decides() == Some(d))
    }
}

/// An ordered list of [`Setting`]s. A flag that doesn't repeat stands in it once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    settings: Vec<Setting>,
}

impl Options {
    /// Adds a setting; one of a flag that doesn't repeat takes the place of the one before.
    pub fn push(&mut self, setting: Setting) {
        if !setting.flag.repeats {
            let same = |s: &Setting| s.flag.name == setting.flag.name;
            if let Some(old) = self.settings.iter_mut().find(|s| same(s)) {
                *old = setting;
                return;
            }
        }
        self.settings.push(setting);
    }

    /// Adds a flag's value from text that is known to be right.
    ///
    /// # Panics
    /// Where there is no such flag or it doesn't take this value: a mistake in the program.
    pub fn add(&mut self, name: &str, text: &str) {
        let flag = super::table::find(name).expect("a flag of the table");
        self.push(Setting::parse(flag, text).expect("a value of this flag"));
    }

    /// All settings, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter()
    }

    /// All values of a flag.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        let of_it = self.settings.iter().filter(move |s| s.flag.name == name);
        of_it.map(|s| &s.value)
    }

    /// The value of a flag that doesn't repeat.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.settings
            .iter()
            .rev()
            .find(|s| s.flag.name == name)
            .map(|s| &s.value)
    }

    /// Its text, where its value is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Bool(true))
    }

    /// Whether the flag was said at all.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The flags as words of a command line, each in its one form.
    pub fn words(&self) -> Vec<String> {
        self.settings.iter().map(Setting::word).collect()
    }

    /// Changes every setting.
    pub(super) fn each_setting(&mut self, change: impl FnMut(&mut Setting)) {
        self.settings.iter_mut().for_each(change);
    }

    /// These settings, and those of `weaker` that there is room for beside them, before them.
    pub fn over(self, weaker: Self) -> Self {
        let stands = |w: &Setting| !self.settings.iter().any(|s| s.wins_over(w));
        let mut settings: Vec<_> = weaker.settings.into_iter().filter(stands).collect();
        settings.extend(self.settings);
        Self { settings }
    }

    /// These settings without some flags.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.settings.retain(|s| !names.contains(&s.flag.name));
        self
    }

    /// Those of docker, and mlbuild's own.
    pub fn by_owner(self) -> (Self, Self) {
        let is_dockers = |s: &Setting| s.flag.owner == Owner::Docker;
        let (dockers, own) = self.settings.into_iter().partition(is_dockers);
        (Self { settings: dockers }, Self { settings: own })
    }
}

impl FromIterator<Setting> for Options {
    fn from_iter<I: IntoIterator<Item = Setting>>(settings: I) -> Self {
        let mut options = Self::default();
        settings.into_iter().for_each(|s| options.push(s));
        options
    }
}
