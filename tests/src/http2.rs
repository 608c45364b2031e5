//! HTTP/2 as bytes, to say what no client would (RFC 9113, RFC 7541).

/// What a connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface and first settings of a client, and what it says then.
pub fn connection(frames: &[&[u8]]) -> Vec<u8> {
    let settings = frame(SETTINGS, 0, 0, &[]);
    [&[PREFACE, &settings][..], frames].concat().concat()
}

/// A whole head of these fields, which ends the stream or not.
pub fn head(stream: u32, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &block(fields))
}

/// Fields, each as a literal that is not indexed.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer of seven bits and more.
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.extend(u8::try_from(length));
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.extend(u8::try_from(rest % 128 + 128));
        rest /= 128;
    }
    block.extend(u8::try_from(rest));
}

/// The kinds and streams of the whole frames there are.
pub fn frames(mut bytes: &[u8]) -> Vec<(u8, u32)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let [high, middle, low, kind, _, stream @ ..] = *head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let Some(rest) = rest.get(length..) else {
            break;
        };
        frames.push((kind, u32::from_be_bytes(stream)));
        bytes = rest;
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let written = [
            head(1, &[("x", "y")], END_STREAM),
            frame(DATA, 0, 3, &[0; 300]),
        ];
        let bytes = written.concat();
        assert_eq!(frames(&bytes), [(HEADERS, 1), (DATA, 3)]);
        assert_eq!(frames(&bytes[..bytes.len() - 1]), [(HEADERS, 1)]);
    }

    #[test]
    fn lengths_are_those_of_the_specification() {
        let of = |number| {
            let mut block = Vec::new();
            length(&mut block, number);
            block
        };
        assert_eq!(of(10), [10]);
        assert_eq!(of(127), [127, 0]);
        assert_eq!(of(127 + 1306), [127, 154, 10]);
    }
}
