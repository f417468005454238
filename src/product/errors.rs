//! Error codes and their words.

/// The words for the error codes of a product.
#[derive(Debug, Clone, Copy)]
pub struct ErrorCodes {
    /// The words for each code.
    pub codes: &'static [(i64, &'static str)],
    /// The words for a code with a sub-code.
    pub details: &'static [(i64, i64, &'static str)],
}

impl ErrorCodes {
    /// Returns an error as the vendor shows it, with its words as far as they are known: `E407 hot-water temperature
    /// sensor: low`, or `E123`. `None` when `code` is 0, no error.
    pub fn text(&self, code: i64, sub: Option<i64>) -> Option<String> {
        if code == 0 {
            return None;
        }
        let Some((_, words)) = self.codes.iter().find(|(known, _)| *known == code) else {
            return Some(format!("E{code:03}"));
        };
        match self.details.iter().find(|(of, known, _)| *of == code && Some(*known) == sub) {
            Some((_, _, detail)) => Some(format!("E{code:03} {words}: {detail}")),
            None => Some(format!("E{code:03} {words}")),
        }
    }
}
