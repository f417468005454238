//! The NWP500, a heat-pump water heater.

mod controls;
mod entities;
mod error_codes;
mod feature;
mod status;

use super::Product;

/// Its tables.
pub static NWP500: Product = Product {
    device_type: 52,
    name: "NWP500",
    status: status::STATUS,
    derived: status::derived,
    feature: feature::FEATURE,
    errors: error_codes::ERRORS,
    controls: controls::CONTROLS,
    entities: entities::ENTITIES,
};
