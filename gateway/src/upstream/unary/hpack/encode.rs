//! Fields of a request, as HPACK writes them without a table: no request depends on an earlier one, so what is the same in each of them
//! can be written once and copied.

/// The peer's table is empty from now on, whatever size it allows. Said once, before the first field of a connection.
pub(crate) const EMPTY_TABLE: u8 = 0x20;
/// `:method: POST` and `:scheme: http`, which the standard's table has.
pub(crate) const REQUEST: [u8; 2] = [0x83, 0x86];

const AUTHORITY: u8 = 1;
const PATH: u8 = 4;

pub(crate) fn authority(out: &mut Vec<u8>, value: &[u8]) {
    out.push(AUTHORITY);
    text(out, value);
}

pub(crate) fn path(out: &mut Vec<u8>, value: &[u8]) {
    out.push(PATH);
    text(out, value);
}

/// A field that no table has. `name` is in lower case.
pub(crate) fn literal(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(0);
    text(out, name);
    text(out, value);
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    const FULL: usize = 0x7f;
    match text.len().checked_sub(FULL) {
        None => out.push(text.len() as u8),
        Some(mut more) => {
            out.push(FULL as u8);
            while more >= 0x80 {
                out.push(more as u8 | 0x80);
                more >>= 7;
            }
            out.push(more as u8);
        }
    }
    out.extend_from_slice(text);
}
