//! The message of a failed rebuild for its waiters.
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{error::RebuildError, options::ms, v1};

/// The contract's bound, in bytes of UTF-8.
const BYTES_MAX: usize = 4_096;

/// Works even if the user's error panics while it is formatted, because the lease must not stay held.
pub(crate) fn failure_of(error: &RebuildError) -> v1::Failure {
    let message = catch_unwind(AssertUnwindSafe(|| error.to_string()));
    let message = message.unwrap_or_else(|_| "the rebuild failed, and so did the text of its error".to_owned());
    failure(message, error.backoff().map(ms))
}

/// The message of a panic, if it has one.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied())
}

/// The message is cut to the contract's bound between two characters.
pub(crate) fn failure(mut message: String, retry_after_ms: Option<i64>) -> v1::Failure {
    let end = (0..=BYTES_MAX.min(message.len())).rev().find(|at| message.is_char_boundary(*at));
    message.truncate(end.unwrap_or(0));
    v1::Failure { message, retry_after_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(message: String) -> String {
        failure(message, None).message
    }

    #[test]
    fn keeps_what_fits() {
        assert_eq!(told("é".repeat(2_048)), "é".repeat(2_048));
        assert_eq!(told(String::new()), "");
    }

    #[test]
    fn cuts_between_two_characters() {
        assert_eq!(told(format!("a{}", "é".repeat(2_048))), format!("a{}", "é".repeat(2_047)));
        assert_eq!(told("😀".repeat(1_025)), "😀".repeat(1_024));
        assert_eq!(told(format!("abc{}", "😀".repeat(1_024))).len(), 4_095);
    }

    #[test]
    fn carries_a_back_off_within_the_bounds() {
        let after = |s| {
            let error = RebuildError::from("no").retry_after(std::time::Duration::from_secs(s));
            failure_of(&error).retry_after_ms
        };
        assert_eq!((after(0), after(300), after(301)), (Some(0), Some(300_000), None));
    }
}
