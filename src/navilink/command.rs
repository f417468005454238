//! The command codes of the protocol (protocol reference, section 4).
//!
//! Codes that the protocol declares but whose payload is unknown are not here, so that they cannot be sent.

/// Asks for the device information (`feature`).
pub const INFORMATION: u32 = 16_777_217;
/// Says that the session ends on purpose.
pub const END_OF_SESSION: u32 = 16_777_218;
/// Asks for the status.
pub const STATUS: u32 = 16_777_219;
/// Asks for the reservations.
pub const RESERVATIONS: u32 = 16_777_222;
/// Asks for the energy by hour, which the NWP500 has not been seen to answer.
pub const ENERGY_BY_HOUR: u32 = 16_777_224;
/// Asks for the energy by day.
pub const ENERGY_BY_DAY: u32 = 16_777_225;
/// Asks for the energy by month.
pub const ENERGY_BY_MONTH: u32 = 16_777_226;
/// Asks what firmware is downloaded.
pub const FIRMWARE: u32 = 16_777_227;
/// Asks for the installer's diagnostics.
pub const DIAGNOSTICS: u32 = 16_777_228;
/// Asks for the recirculation schedule.
pub const RECIRCULATION: u32 = 16_777_231;

/// Writes the reservations; the number is that of [`ENERGY_BY_MONTH`], only the topic tells them apart.
pub const WRITE_RESERVATIONS: u32 = 16_777_226;
/// Turns the heater off.
pub const POWER_OFF: u32 = 33_554_433;
/// Turns the heater on.
pub const POWER_ON: u32 = 33_554_434;
/// Sets the operation mode.
pub const OPERATION_MODE: u32 = 33_554_437;
/// Writes the time-of-use schedule.
pub const WRITE_TOU: u32 = 33_554_439;
/// Writes the recirculation schedule.
pub const WRITE_RECIRCULATION: u32 = 33_554_440;
/// Starts the water program.
pub const WATER_PROGRAM: u32 = 33_554_441;
/// Commits downloaded firmware.
pub const COMMIT_FIRMWARE: u32 = 33_554_442;
/// Presses the recirculation hot button.
pub const RECIRCULATION_HOT_BUTTON: u32 = 33_554_444;
/// Sets the recirculation mode.
pub const RECIRCULATION_MODE: u32 = 33_554_445;
/// Resets the condenser fault.
pub const CONDENSER_FAULT_RESET: u32 = 33_554_463;
/// Sets the target temperature.
pub const TARGET_TEMPERATURE: u32 = 33_554_464;
/// Sets the length of the vacation.
pub const VACATION_DAYS: u32 = 33_554_466;
/// Turns intelligent scheduling off.
pub const INTELLIGENT_OFF: u32 = 33_554_467;
/// Turns intelligent scheduling on.
pub const INTELLIGENT_ON: u32 = 33_554_468;
/// Turns demand response off.
pub const DEMAND_RESPONSE_OFF: u32 = 33_554_469;
/// Turns demand response on.
pub const DEMAND_RESPONSE_ON: u32 = 33_554_470;
/// Turns the anti-Legionella program off.
pub const ANTI_LEGIONELLA_OFF: u32 = 33_554_471;
/// Turns the anti-Legionella program on.
pub const ANTI_LEGIONELLA_ON: u32 = 33_554_472;
/// Resets the air filter's counter.
pub const AIR_FILTER_RESET: u32 = 33_554_473;
/// Sets the air filter's interval.
pub const AIR_FILTER_LIFE: u32 = 33_554_474;
/// Turns the time-of-use schedule off.
pub const TOU_OFF: u32 = 33_554_475;
/// Turns the time-of-use schedule on.
pub const TOU_ON: u32 = 33_554_476;
