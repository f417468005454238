//! Home Assistant's discovery: its own issue fills this module.
