//! The command codes of the protocol (protocol reference, section 4).
//!
//! Those of the controls with `mode` and `param` are in the tables of the products. Codes that the protocol declares but whose payload is unknown are not here, so that they cannot be sent.

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
/// Writes the time-of-use schedule.
pub const WRITE_TOU: u32 = 33_554_439;
/// Writes the recirculation schedule.
pub const WRITE_RECIRCULATION: u32 = 33_554_440;
/// Commits downloaded firmware.
pub const COMMIT_FIRMWARE: u32 = 33_554_442;
