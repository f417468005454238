//! What a decoder makes: a JSON object whose members nearly all have names of a table.

use std::borrow::Cow;
use std::ops::Index;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// The members of a decoded object, in order and each name once.
///
/// Unlike a [`Map`] it takes no memory for the names of a table, nor an index: a name is found by looking at one after
/// the other, which is quick enough for the hundred members of a status.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Members(Vec<(Cow<'static, str>, Value)>);

impl Members {
    /// Begins with no members, and with memory for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Adds a member, or gives another value to the one of this name.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: Value) {
        let name = name.into();
        match self.get_mut(&name) {
            Some(held) => *held = value,
            None => self.0.push((name, value)),
        }
    }

    /// Returns the value of a member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value)
    }

    /// Returns the value of a member, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(held, _)| held == name).map(|(_, value)| value)
    }

    /// Returns whether there is a member of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns how many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the members in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// Returns the names in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// Adds a member of a name that none has yet.
    pub(super) fn push(&mut self, name: &'static str, value: Value) {
        self.0.push((name.into(), value));
    }
}

impl Index<&str> for Members {
    type Output = Value;

    /// Returns the value of a member, `null` where there is none, as of a [`Value`].
    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<N: Into<Cow<'static, str>>> Extend<(N, Value)> for Members {
    fn extend<I: IntoIterator<Item = (N, Value)>>(&mut self, members: I) {
        members.into_iter().for_each(|(name, value)| self.insert(name, value));
    }
}

impl<N: Into<Cow<'static, str>>> FromIterator<(N, Value)> for Members {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(members: I) -> Self {
        let mut collected = Self::default();
        collected.extend(members);
        collected
    }
}

impl IntoIterator for Members {
    type Item = (Cow<'static, str>, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Map<String, Value>> for Members {
    fn from(object: Map<String, Value>) -> Self {
        Self(object.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl From<Members> for Map<String, Value> {
    fn from(members: Members) -> Self {
        members.0.into_iter().map(|(name, value)| (name.into_owned(), value)).collect()
    }
}

impl From<Members> for Value {
    fn from(members: Members) -> Self {
        Self::Object(members.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_keep_their_order_and_a_name_stands_once() {
        let mut members = Members::from_iter([("b", json!(1)), ("a", json!(2))]);
        members.insert("c".to_owned(), json!([null]));
        members.insert("b", json!(3));
        assert_eq!(serde_json::to_string(&members).unwrap(), r#"{"b":3,"a":2,"c":[null]}"#);
        assert_eq!((members.len(), &members["a"], &members["d"]), (3, &json!(2), &Value::Null));
        let value = Value::from(members.clone());
        assert_eq!(value.as_object().cloned().map(Members::from), Some(members));
    }
}
