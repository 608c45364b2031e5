//! HPACK (RFC 7541): fields of requests are written plainly, and fields of answers are read in every form that there is.

mod encode;
mod huffman;
mod table;
#[cfg(test)]
mod tests;

use std::mem;

pub(super) use encode::{EMPTY_TABLE, REQUEST, authority, literal, path};
use table::Table;

/// A block of fields is not one. The table may differ from the peer's then, so nothing that follows can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What is kept of a scratch after a large block.
const SCRATCH: usize = 16_384;

/// Reads the blocks of one connection, in their order.
pub(super) struct Decoder {
    table: Table,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            table: Table::new(),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Tells each name and value of `block`.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Malformed> {
        let mut rest = block;
        let mut begun = false;
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                let (name, value) = self.table.get(integer(&mut rest, 7)?)?;
                field(name, value);
            } else if first & 0xe0 == 0x20 {
                // Only before the first field.
                if begun {
                    return Err(Malformed);
                }
                self.table.resize(integer(&mut rest, 5)?)?;
                continue;
            } else {
                let kept = first & 0x40 != 0;
                self.name.clear();
                match integer(&mut rest, if kept { 6 } else { 4 })? {
                    0 => text(&mut rest, &mut self.name)?,
                    index => self.name.extend_from_slice(self.table.get(index)?.0),
                }
                self.value.clear();
                text(&mut rest, &mut self.value)?;
                field(&self.name, &self.value);
                if kept {
                    self.table.insert(&self.name, &self.value);
                }
            }
            begun = true;
        }
        self.name.shrink_to(SCRATCH);
        self.value.shrink_to(SCRATCH);
        Ok(())
    }
}

/// Reads a number whose first `bits` bits are the lowest of the first byte (section 5.1). None here is longer than 28 bits.
fn integer(rest: &mut &[u8], bits: u32) -> Result<usize, Malformed> {
    let (first, mut after) = mem::take(rest).split_first().ok_or(Malformed)?;
    let full = (1_usize << bits) - 1;
    let mut number = usize::from(*first) & full;
    if number == full {
        let mut shift = 0;
        loop {
            let (byte, next) = after.split_first().ok_or(Malformed)?;
            after = next;
            if shift > 21 {
                return Err(Malformed);
            }
            number += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = after;
    Ok(number)
}

/// Appends a text to `into` (section 5.2).
fn text(rest: &mut &[u8], into: &mut Vec<u8>) -> Result<(), Malformed> {
    let is_huffman = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(rest, 7)?;
    let (text, after) = mem::take(rest).split_at_checked(length).ok_or(Malformed)?;
    *rest = after;
    if is_huffman {
        huffman::decode(text, into).ok_or(Malformed)?;
    } else {
        into.extend_from_slice(text);
    }
    Ok(())
}
