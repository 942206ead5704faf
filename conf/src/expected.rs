//! What the text of a value should have been.

use std::borrow::Cow;

/// Why the text of a value was refused: a phrase that follows "must be", such as `a whole number from 1 to 5`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Expected(Cow<'static, str>);

impl From<&'static str> for Expected {
    fn from(phrase: &'static str) -> Self {
        Self(Cow::Borrowed(phrase))
    }
}

impl From<String> for Expected {
    fn from(phrase: String) -> Self {
        Self(Cow::Owned(phrase))
    }
}
