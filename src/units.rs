//! The quantities of the field, as types that say their unit.

/// The units in which values are shown, as chosen in the configuration (`units`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnitsChoice {
    /// What the heater itself is set to (`temperatureType`).
    #[default]
    Device,
    /// Celsius, litres.
    Metric,
    /// Fahrenheit, gallons.
    Us,
}

/// The units of one decoded object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitSystem {
    /// Celsius, litres.
    Metric,
    /// Fahrenheit, gallons.
    Us,
}

impl UnitsChoice {
    /// Settles the units, given the heater's `temperatureType`: 1 is Celsius, and all else, as in the vendor's own
    /// default, Fahrenheit (protocol reference, section 6).
    pub fn system(self, temperature_type: Option<i64>) -> UnitSystem {
        match self {
            Self::Metric => UnitSystem::Metric,
            Self::Us => UnitSystem::Us,
            Self::Device if temperature_type == Some(1) => UnitSystem::Metric,
            Self::Device => UnitSystem::Us,
        }
    }
}

/// The conversions from what is on the wire (protocol reference, section 5).
///
/// Each is one exact product and one division, so a whole raw value gives the number nearest to the true decimal:
/// 121.1, never 121.10000000000001.
impl UnitSystem {
    /// Returns `metric` or `us`, the value of `"units"` in decoded JSON (contract, section 5).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::Us => "us",
        }
    }

    /// Returns the other one.
    pub fn other(self) -> Self {
        match self {
            Self::Metric => Self::Us,
            Self::Us => Self::Metric,
        }
    }

    /// Converts half degrees Celsius to °C or °F.
    pub fn half_celsius(self, raw: f64) -> f64 {
        match self {
            Self::Metric => raw / 2.0,
            Self::Us => (raw * 9.0 + 320.0) / 10.0,
        }
    }

    /// Converts half degrees Celsius to °C, or to whole °F by the formula that `tempFormulaType` names: 1 rounds to
    /// the nearest, ties to even; all else rounds down when the last digit of the raw value is 9, and up otherwise.
    pub fn half_celsius_by_formula(self, raw: f64, formula: i64) -> f64 {
        let exact = self.half_celsius(raw);
        match self {
            Self::Metric => exact,
            Self::Us if formula == 1 => exact.round_ties_even(),
            Self::Us if raw % 10.0 == 9.0 => exact.floor(),
            Self::Us => exact.ceil(),
        }
    }

    /// Converts tenths of a degree Celsius to °C or °F.
    pub fn deci_celsius(self, raw: f64) -> f64 {
        match self {
            Self::Metric => raw / 10.0,
            Self::Us => (raw * 9.0 + 1600.0) / 50.0,
        }
    }

    /// Converts a difference in tenths of a kelvin to kelvins or °F degrees.
    pub fn deci_kelvin(self, raw: f64) -> f64 {
        match self {
            Self::Metric => raw / 10.0,
            Self::Us => raw * 9.0 / 50.0,
        }
    }

    /// Converts tenths of a litre a minute to L/min, or to gal/min with two decimals, ties to even.
    pub fn deci_litres_per_minute(self, raw: f64) -> f64 {
        match self {
            Self::Metric => raw / 10.0,
            Self::Us => (raw * 264_172.0 / 100_000.0).round_ties_even() / 100.0,
        }
    }

    /// Converts litres to L, or to gal with two decimals, ties to even.
    pub fn litres(self, raw: f64) -> f64 {
        match self {
            Self::Metric => raw,
            Self::Us => (raw * 264_172.0 / 10_000.0).round_ties_even() / 100.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UnitSystem::{Metric, Us};
    use super::*;

    #[test]
    fn temperatures_come_out_as_the_nearest_decimal() {
        assert_eq!((Metric.half_celsius(99.0), Us.half_celsius(99.0)), (49.5, 121.1));
        assert_eq!((Metric.half_celsius(-41.0), Us.half_celsius(-41.0)), (-20.5, -4.9));
        assert_eq!((Metric.half_celsius(0.0), Us.half_celsius(0.0)), (0.0, 32.0));
        assert_eq!((Metric.deci_celsius(605.0), Us.deci_celsius(605.0)), (60.5, 140.9));
        assert_eq!((Metric.deci_celsius(-187.0), Us.deci_celsius(-187.0)), (-18.7, -1.66));
    }

    #[test]
    fn a_difference_of_temperatures_has_no_32() {
        assert_eq!((Metric.deci_kelvin(50.0), Us.deci_kelvin(50.0)), (5.0, 9.0));
        assert_eq!((Metric.deci_kelvin(-3.0), Us.deci_kelvin(-3.0)), (-0.3, -0.54));
    }

    #[test]
    fn the_first_formula_rounds_up_unless_the_last_digit_is_nine() {
        // 19/2 = 9.5 °C = 49.1 °F; 18/2 = 9 °C = 48.2 °F; 20/2 = 10 °C = 50 °F
        assert_eq!(Us.half_celsius_by_formula(19.0, 0), 49.0);
        assert_eq!(Us.half_celsius_by_formula(18.0, 0), 49.0);
        assert_eq!(Us.half_celsius_by_formula(20.0, 0), 50.0);
        // −19/2 = −9.5 °C = 14.9 °F: the remainder is −9, so it rounds up; −41/2 = −20.5 °C = −4.9 °F
        assert_eq!(Us.half_celsius_by_formula(-19.0, 0), 15.0);
        assert_eq!(Us.half_celsius_by_formula(-41.0, 0), -4.0);
    }

    #[test]
    fn the_second_formula_rounds_to_nearest_with_ties_to_even() {
        // 5/2 = 2.5 °C = 36.5 °F; 15/2 = 7.5 °C = 45.5 °F; −35/2 = −17.5 °C = 0.5 °F; −45/2 = −22.5 °C = −8.5 °F
        assert_eq!(Us.half_celsius_by_formula(5.0, 1), 36.0);
        assert_eq!(Us.half_celsius_by_formula(15.0, 1), 46.0);
        assert_eq!(Us.half_celsius_by_formula(-35.0, 1), 0.0);
        assert_eq!(Us.half_celsius_by_formula(-45.0, 1), -8.0);
        assert_eq!(Us.half_celsius_by_formula(-19.0, 1), 15.0);
    }

    #[test]
    fn in_celsius_no_formula_rounds() {
        assert_eq!((Metric.half_celsius_by_formula(19.0, 0), Metric.half_celsius_by_formula(-41.0, 1)), (9.5, -20.5));
    }

    #[test]
    fn flow_and_volume_have_two_decimals_in_gallons_and_all_in_litres() {
        // 12.5 L/min × 0.264172 = 3.30215; 3785 L × 0.264172 = 999.89102; 3750 L × 0.264172 = 990.645
        assert_eq!((Metric.deci_litres_per_minute(125.0), Us.deci_litres_per_minute(125.0)), (12.5, 3.3));
        assert_eq!((Metric.litres(3785.0), Us.litres(3785.0)), (3785.0, 999.89));
        assert_eq!(Us.litres(3750.0), 990.64);
        assert_eq!(Us.litres(1250.0), 330.22);
    }

    #[test]
    fn the_heater_decides_the_units_only_when_it_was_asked_to() {
        assert_eq!(UnitsChoice::Device.system(Some(1)), Metric);
        assert_eq!(UnitsChoice::Device.system(Some(2)), Us);
        assert_eq!(UnitsChoice::Device.system(None), Us);
        assert_eq!(UnitsChoice::Metric.system(Some(2)), Metric);
        assert_eq!(UnitsChoice::Us.system(Some(1)), Us);
    }
}
