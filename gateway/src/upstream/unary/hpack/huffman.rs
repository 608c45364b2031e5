//! The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B). It is canonical, so the lengths of its codes are all of it.

/// The symbol that ends a text. Whoever writes it is wrong: only its first bits are there, as padding.
const END: u16 = 256;
const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// Bits of each symbol.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The codes of each length: they follow one another in the order of their symbols.
struct Codes {
    /// One after the last code of this length.
    end: [u32; LONGEST + 1],
    /// What is added to a code of this length for its place among `symbols`.
    offset: [u32; LONGEST + 1],
    /// By length, and then by number.
    symbols: [u16; 257],
}

static CODES: Codes = canonical();

const fn canonical() -> Codes {
    let mut codes = Codes {
        end: [0; LONGEST + 1],
        offset: [0; LONGEST + 1],
        symbols: [0; 257],
    };
    let mut code = 0_u32;
    let mut place = 0;
    let mut length = 1;
    while length <= LONGEST {
        code <<= 1;
        codes.offset[length] = (place as u32).wrapping_sub(code);
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                codes.symbols[place] = symbol as u16;
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        codes.end[length] = code;
        length += 1;
    }
    codes
}

/// Appends what `text` says to `decoded`; none where it is no such text.
pub(super) fn decode(text: &[u8], decoded: &mut Vec<u8>) -> Option<()> {
    let mut rest = text.iter();
    // The lowest `have` bits are those that were read and not used.
    let mut bits = 0_u64;
    let mut have = 0_usize;
    loop {
        while have <= 32 {
            let Some(byte) = rest.next() else { break };
            bits = bits << 8 | u64::from(*byte);
            have += 8;
        }
        if have == 0 {
            return Some(());
        }
        // The next 32 bits. After the end of the text come ones, as in padding.
        let next = match have.checked_sub(32) {
            Some(more) => (bits >> more) as u32,
            None => (bits << (32 - have)) as u32 | u32::MAX >> have,
        };
        let (symbol, length) = first(next)?;
        if length > have {
            // What is left is padding: less than a byte, of ones.
            return (have < 8 && next == u32::MAX).then_some(());
        }
        if symbol == END {
            return None;
        }
        decoded.push(symbol as u8);
        have -= length;
    }
}

/// The symbol that these bits begin with, and its length. Every sequence of 30 bits begins with one.
fn first(bits: u32) -> Option<(u16, usize)> {
    (SHORTEST..=LONGEST).find_map(|length| {
        let code = bits >> (32 - length);
        if code >= *CODES.end.get(length)? {
            return None;
        }
        let place = code.wrapping_add(*CODES.offset.get(length)?);
        Some((*CODES.symbols.get(place as usize)?, length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &[u8]) -> Option<Vec<u8>> {
        let mut decoded = Vec::new();
        decode(text, &mut decoded).map(|()| decoded)
    }

    /// Appendix B says some of these; they are the ends of the runs of the code.
    #[test]
    fn symbols_have_the_codes_of_the_standard() {
        for (symbol, code, length) in [
            (b'0', 0x0, 5),
            (b't', 0x9, 5),
            (b' ', 0x14, 6),
            (b':', 0x5c, 7),
            (b'&', 0xf8, 8),
            (b'!', 0x3f8, 10),
            (0, 0x1ff8, 13),
            (127, 0xfff_fffc, 28),
            (255, 0x3ff_ffee, 26),
            (22, 0x3fff_fffe, 30),
        ] {
            let bits: u32 = code << (32 - length);
            assert_eq!(first(bits), Some((u16::from(symbol), length)), "{symbol}");
        }
        assert_eq!(first(u32::MAX), Some((END, 30)));
    }

    #[test]
    fn padding_is_ones_and_less_than_a_byte() {
        assert_eq!(decoded(b"").as_deref(), Some(&b""[..]));
        // `a` is 00011.
        assert_eq!(decoded(&[0b0001_1111]).as_deref(), Some(&b"a"[..]));
        assert_eq!(decoded(&[0b0001_1110]), None);
        assert_eq!(decoded(&[0b0001_1111, 0xff]), None);
        assert_eq!(decoded(&[0xff; 4]), None);
        assert_eq!(decoded(&[0xff; 9]), None);
    }
}
