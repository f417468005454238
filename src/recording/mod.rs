//! What the cloud said last, recorded for reports and made fit to be shown to anybody.

mod private;
pub mod pseudonyms;
pub mod recorder;
