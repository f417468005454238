//! What a heater can do, as its device information says (protocol reference, sections 4 and 7).

use serde_json::Value;

use super::Product;
use crate::navilink::encoding::{DecodeContext, Object, whole};
use crate::navilink::members::Members;
use crate::units::{UnitSystem, UnitsChoice};

/// `dhwTemperatureSettingUse` of a heater whose target temperature cannot be set.
const DISABLED: i64 = 1;

/// The capabilities of one heater, merged from everything that its device information has said.
///
/// A member that is absent or malformed in one message keeps the value that an earlier message gave it.
#[derive(Debug, Clone)]
pub struct Capabilities {
    product: &'static Product,
    /// Well-formed members as the heater sent them, by their names on the wire.
    merged: Object,
}

impl Capabilities {
    /// Begins with nothing known.
    pub fn new(product: &'static Product) -> Self {
        Self { product, merged: Object::new() }
    }

    /// Merges device information as the heater sent it.
    pub fn learn(&mut self, feature: &Object) {
        let context = DecodeContext { units: UnitSystem::Metric, formula: 0 };
        for row in self.product.feature {
            let told = feature.get(row.key).filter(|value| !value.is_null() && *value != "");
            if let Some(value) = told.filter(|value| row.encoding.decode(value, context).is_ok()) {
                self.merged.insert(row.key.to_owned(), value.clone());
            }
        }
    }

    /// Returns the members as they were told, for [`Capabilities::learn`] of a later run.
    pub fn told(&self) -> &Object {
        &self.merged
    }

    /// Returns whether the heater has said anything of itself yet.
    pub fn is_known(&self) -> bool {
        !self.merged.is_empty()
    }

    /// Returns whether the heater has what `flag` (its name on the wire) stands for; `None` while that is unknown.
    pub fn fitted(&self, flag: &str) -> Option<bool> {
        self.number(flag).map(|flag| flag == 2)
    }

    /// Returns whether the target temperature can be set (`dhwTemperatureSettingUse`); `None` while that is unknown.
    pub fn sets_temperature(&self) -> Option<bool> {
        self.number("dhwTemperatureSettingUse").filter(|code| *code != 0).map(|code| code != DISABLED)
    }

    /// Returns `temperatureType`: the units that the heater is set to.
    pub fn temperature_type(&self) -> Option<i64> {
        self.number("temperatureType")
    }

    /// Returns the lowest and the highest target temperature in half degrees Celsius.
    pub fn temperature_limits(&self) -> Option<(i64, i64)> {
        self.number("dhwTemperatureMin").zip(self.number("dhwTemperatureMax"))
    }

    /// Returns `controllerSerialNumber`.
    pub fn controller_serial(&self) -> Option<&str> {
        self.merged.get("controllerSerialNumber").and_then(Value::as_str)
    }

    /// Returns the decoded members in `units`, as [`Product::decode_feature`] names them; `null` where nothing is known.
    pub fn decoded(&self, units: UnitSystem) -> Members {
        let choice = match units {
            UnitSystem::Metric => UnitsChoice::Metric,
            UnitSystem::Us => UnitsChoice::Us,
        };
        self.product.decode_feature(&self.merged, choice).object
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.merged.get(key).and_then(|value| whole(value).ok())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(messages: &[Value]) -> Capabilities {
        let mut capabilities = Capabilities::new(crate::product::PRODUCTS[0]);
        messages.iter().for_each(|message| capabilities.learn(message.as_object().unwrap()));
        capabilities
    }

    #[test]
    fn a_damaged_member_keeps_what_was_known_and_only_a_clear_word_is_no() {
        let good = json!({ "powerUse": 2, "dhwUse": 1, "drSettingUse": 0, "controllerSerialNumber": "S1",
            "dhwTemperatureSettingUse": 2, "dhwTemperatureMin": 70, "dhwTemperatureMax": 131 });
        let damaged = json!({ "powerUse": "?", "dhwUse": null, "controllerSerialNumber": "",
            "dhwTemperatureSettingUse": 9, "dhwTemperatureMax": {} });
        let capabilities = told(&[good.clone(), damaged]);
        assert_eq!(capabilities.told(), told(&[good]).told());
        assert_eq!(capabilities.fitted("powerUse"), Some(true));
        assert_eq!((capabilities.fitted("dhwUse"), capabilities.fitted("drSettingUse")), (Some(false), Some(false)));
        assert_eq!((capabilities.fitted("holidayUse"), capabilities.sets_temperature()), (None, Some(true)));
        assert_eq!(
            (capabilities.temperature_limits(), capabilities.controller_serial()),
            (Some((70, 131)), Some("S1"))
        );
        assert_eq!(capabilities.decoded(UnitSystem::Us)["dhw_temperature_min"], json!(95.0));
    }

    #[test]
    fn a_later_word_replaces_an_earlier_one() {
        let capabilities = told(&[json!({ "powerUse": 1 }), json!({ "powerUse": "2" })]);
        assert_eq!(capabilities.fitted("powerUse"), Some(true));
    }

    #[test]
    fn nothing_usable_is_nothing_known() {
        assert!(!told(&[json!({ "powerUse": [], "somethingNew": 2 })]).is_known());
        assert_eq!(told(&[json!({ "dhwTemperatureSettingUse": 0 })]).sets_temperature(), None);
        assert_eq!(told(&[json!({ "dhwTemperatureSettingUse": 1 })]).sets_temperature(), Some(false));
    }
}
