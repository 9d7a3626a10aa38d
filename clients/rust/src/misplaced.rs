//! Secrets that are set where the path of a file belongs. No error repeats them, because errors are logged.
use std::path::Path;

use crate::error::Error;

/// Longer paths are rare, and most private keys are longer.
const SHOWN_PATH_MAX: usize = 255;
/// What fits into one line of PEM, as base64.
const DER_CHARS_MIN: usize = 61;
/// Names have shorter words, and tokens are longer.
const RANDOM_CHARS_MIN: usize = 20;

/// The error of a PEM file that cannot be read, if its path looks like the content of one.
pub(crate) fn pem(option: &str, variable: &str, path: &str) -> Option<Error> {
    maybe_content(path).then(|| misplaced(option, variable, "looks like"))
}

/// The same for the file of a token.
pub(crate) fn token(option: &str, variable: &str, path: &Path) -> Option<Error> {
    let path = path.to_string_lossy();
    // A token may be any text, so only what begins with a folder counts as a path. Base64 may begin with a slash too.
    let is_path = begins_with_folder(&path) && !is_random(&path);
    (maybe_content(&path) || !is_path).then(|| misplaced(option, variable, "may be"))
}

/// PEM, also in base64, or only what stands within its lines.
fn maybe_content(path: &str) -> bool {
    let text = path.trim();
    path.len() > SHOWN_PATH_MAX
        || path.contains(['\r', '\n'])
        || path.contains("-----BEGIN")
        || text.starts_with("LS0tLS1CRUdJTi")
        || is_der(text)
}

fn is_der(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    digits.starts_with('M') && digits.len() >= DER_CHARS_MIN && digits.bytes().all(is_digit)
}

fn begins_with_folder(path: &str) -> bool {
    let is_drive = path.as_bytes().get(1) == Some(&b':') && path.starts_with(|char: char| char.is_ascii_alphabetic());
    let rest = if is_drive { &path[2..] } else { path };
    let rest = ["..", ".", "~"].iter().find_map(|start| rest.strip_prefix(start)).unwrap_or(rest);
    rest.starts_with(['/', '\\'])
}

fn is_random(text: &str) -> bool {
    let mut words = text.split(|char: char| !char.is_ascii_alphanumeric());
    text.contains(['+', '=']) || words.any(|word| word.len() >= RANDOM_CHARS_MIN)
}

fn misplaced(option: &str, variable: &str, seems: &str) -> Error {
    Error::Options(format!(
        "{option} ({variable}): cannot be read, and {seems} the content of a file; set the path of the file"
    ))
}
