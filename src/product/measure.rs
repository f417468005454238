//! What is measured, and the unit, device class and state class that say so to Home Assistant.

use crate::units::UnitSystem;

/// What a number or a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A temperature.
    Temperature,
    /// A difference of two temperatures.
    Difference,
    /// A flow of water.
    Flow,
    /// Water that has flowed since a meter began.
    Water,
    /// The volume of the tank, in gallons whatever the units.
    Tank,
    /// Electric power in W.
    Power,
    /// Heat that is stored or missing, in Wh.
    Heat,
    /// Electricity used since a meter began, in kWh.
    Energy,
    /// A share in %.
    Percent,
    /// The strength of a radio signal in dBm.
    Signal,
    /// Revolutions a minute.
    Speed,
    /// A span in hours.
    Hours,
    /// Hours that a meter has counted.
    Counter,
    /// A span in days.
    Days,
    /// A span in seconds.
    Seconds,
    /// How many there are.
    Number,
    /// How many there have been.
    Total,
    /// A number or a text of the maker's, which nothing is computed with.
    Plain,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A moment.
    Moment,
}

/// What Home Assistant is told of a sensor's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measure {
    /// `unit_of_measurement`.
    pub unit: Option<&'static str>,
    /// `device_class`.
    pub class: Option<&'static str>,
    /// `state_class`.
    pub state: Option<&'static str>,
    /// `suggested_display_precision`.
    pub decimals: Option<u8>,
}

const MEASUREMENT: Option<&str> = Some("measurement");
const INCREASING: Option<&str> = Some("total_increasing");

/// Returns a word of the topics as people read it: `energy_saver` becomes `Energy saver`.
pub fn label(word: &str) -> String {
    let mut label = word.replace('_', " ");
    if let Some(first) = label.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    label
}

impl Kind {
    /// Returns whether its values are others in other units.
    pub fn depends_on_units(self) -> bool {
        self.measure(UnitSystem::Metric).unit != self.measure(UnitSystem::Us).unit
    }

    /// Returns the icon of what has no device class with a fitting one.
    pub fn icon(self) -> Option<&'static str> {
        match self {
            Self::Percent => Some("mdi:percent"),
            Self::Speed => Some("mdi:fan"),
            Self::Number | Self::Total => Some("mdi:counter"),
            Self::Plain | Self::Words(_) => Some("mdi:information-outline"),
            Self::Temperature
            | Self::Difference
            | Self::Flow
            | Self::Water
            | Self::Tank
            | Self::Power
            | Self::Heat
            | Self::Energy
            | Self::Signal
            | Self::Hours
            | Self::Counter
            | Self::Days
            | Self::Seconds
            | Self::Moment => None,
        }
    }

    /// Returns unit and classes in these units.
    pub fn measure(self, units: UnitSystem) -> Measure {
        let metric = units == UnitSystem::Metric;
        let either = |one, other| if metric { one } else { other };
        let of = |unit, class, state, decimals| Measure {
            unit: Some(unit),
            class: Some(class),
            state,
            decimals: Some(decimals),
        };
        let bare = |unit, decimals| Measure { unit, class: None, state: MEASUREMENT, decimals: Some(decimals) };
        match self {
            Self::Temperature => of(either("°C", "°F"), "temperature", MEASUREMENT, 1),
            Self::Difference => of(either("K", "°F"), "temperature_delta", MEASUREMENT, 1),
            Self::Flow => of(either("L/min", "gal/min"), "volume_flow_rate", MEASUREMENT, 1),
            Self::Water => of(either("L", "gal"), "water", INCREASING, 0),
            Self::Tank => of("gal", "volume_storage", MEASUREMENT, 0),
            Self::Power => of("W", "power", MEASUREMENT, 0),
            Self::Heat => of("Wh", "energy_storage", MEASUREMENT, 0),
            Self::Energy => of("kWh", "energy", INCREASING, 2),
            Self::Percent => bare(Some("%"), 0),
            Self::Signal => of("dBm", "signal_strength", MEASUREMENT, 0),
            Self::Speed => bare(Some("rpm"), 0),
            Self::Hours => of("h", "duration", MEASUREMENT, 0),
            Self::Counter => of("h", "duration", INCREASING, 0),
            Self::Days => of("d", "duration", MEASUREMENT, 0),
            Self::Seconds => of("s", "duration", MEASUREMENT, 0),
            Self::Number => bare(None, 0),
            Self::Total => Measure { state: INCREASING, ..Measure::default() },
            Self::Plain => Measure::default(),
            Self::Words(_) => Measure { class: Some("enum"), ..Measure::default() },
            Self::Moment => Measure { class: Some("timestamp"), ..Measure::default() },
        }
    }
}
