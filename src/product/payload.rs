//! The payload of a `set` (contract, section 6).

use std::fmt::Display;

use serde_json::Value;

use crate::navilink::encoding::Object;

/// A payload: a plain value, or an object with `value` or named members, and an `id`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Payload {
    /// What comes back in the result.
    pub id: Option<Value>,
    /// The plain value.
    pub(super) value: Option<Value>,
    /// The named members.
    pub(super) members: Object,
}

impl Payload {
    /// Reads a payload; what is no JSON is a plain text.
    ///
    /// # Errors
    ///
    /// When it is no text at all.
    pub fn read(payload: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(payload).map_err(|_| "the payload is not UTF-8")?.trim();
        Ok(match serde_json::from_str(text) {
            Ok(Value::Object(mut members)) => {
                let id = members.remove("id");
                Self { id, value: members.remove("value"), members }
            }
            Ok(value) => Self { id: None, value: Some(value), members: Object::new() },
            Err(_) if text.starts_with(['{', '[']) => return Err("the payload is not JSON".to_owned()),
            Err(_) => Self { id: None, value: Some(text.into()), members: Object::new() },
        })
    }

    /// Returns the plain value, when it is a text.
    pub(super) fn text(&self) -> Option<&str> {
        self.value.as_ref()?.as_str()
    }

    /// Reads `ON` or `OFF`.
    ///
    /// # Errors
    ///
    /// Says what is there instead.
    pub fn switch(&self) -> Result<bool, String> {
        match (&self.value, self.text().map(str::to_ascii_uppercase).as_deref()) {
            (Some(Value::Bool(on)), _) => Ok(*on),
            (_, Some("ON")) => Ok(true),
            (_, Some("OFF")) => Ok(false),
            _ => Err(format!("ON or OFF is expected{}", self.instead())),
        }
    }

    /// Reads `PRESS`.
    pub(super) fn press(&self) -> Result<(), String> {
        match self.text() {
            Some(text) if text.eq_ignore_ascii_case("press") => Ok(()),
            _ => Err(format!("PRESS is expected{}", self.instead())),
        }
    }

    /// Reads a number.
    pub(super) fn number(&self) -> Result<f64, String> {
        let number = self.value.as_ref().and_then(finite);
        number.ok_or_else(|| format!("a number is expected{}", self.instead()))
    }

    /// Reads a whole number within limits.
    pub(super) fn whole(&self, low: i64, high: i64) -> Result<i64, String> {
        self.number()
            .ok()
            .and_then(|number| fitting(number, low, high))
            .ok_or_else(|| format!("a whole number from {low} to {high} is expected{}", self.instead()))
    }

    /// Reads a named member: a whole number within limits.
    pub(super) fn member(&self, name: &str, low: i64, high: i64) -> Result<Option<i64>, String> {
        let Some(value) = self.members.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let fits = finite(value).and_then(|number| fitting(number, low, high));
        let expected = || format!("`{name}` must be a whole number from {low} to {high}, not {value}");
        fits.map(Some).ok_or_else(expected)
    }

    /// Says what stands there, after what is expected.
    pub(super) fn instead(&self) -> String {
        self.value.as_ref().map_or(String::new(), |value| format!(", not {}", shortened(value)))
    }
}

/// Reads a number, also from a string.
fn finite(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number: &f64| number.is_finite())
}

fn fitting(number: f64, low: i64, high: i64) -> Option<i64> {
    let fits = number.fract() == 0.0 && (low as f64..=high as f64).contains(&number);
    fits.then_some(number as i64)
}

fn shortened(value: &impl Display) -> String {
    value.to_string().chars().take(60).collect()
}
