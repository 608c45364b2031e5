use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

type Fields = Vec<(String, String)>;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter_map(|byte| char::from(byte).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Malformed> {
    let mut fields = Vec::new();
    let owned = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
    decoder.decode(block, |name, value| {
        fields.push((owned(name), owned(value)))
    })?;
    Ok(fields)
}

fn fields(expected: &[(&str, &str)]) -> Fields {
    expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A block in hexadecimal, its fields, and the size of the table after it, as in the examples of appendix C.
type Example<'a> = (&'a str, &'a [(&'a str, &'a str)], usize);

fn examples(decoder: &mut Decoder, examples: &[Example<'_>]) {
    for (block, expected, size) in examples {
        assert_eq!(
            read(decoder, &bytes(block)),
            Ok(fields(expected)),
            "{block}"
        );
        assert_eq!(decoder.table.size(), *size, "{block}");
    }
}

#[test]
fn numbers_are_those_of_appendix_c_1() {
    let number = |bytes: &[u8], bits| {
        let mut rest = bytes;
        integer(&mut rest, bits).map(|number| (number, rest.len()))
    };
    assert_eq!(number(&[0b0000_1010], 5), Ok((10, 0)));
    assert_eq!(
        number(&[0b0001_1111, 0b1001_1010, 0b0000_1010, 7], 5),
        Ok((1337, 1))
    );
    assert_eq!(number(&[0b0010_1010], 8), Ok((42, 0)));
    assert_eq!(number(&[0x7f], 7), Err(Malformed));
    assert_eq!(
        number(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0], 7),
        Err(Malformed)
    );
}

#[test]
fn single_fields_are_those_of_appendix_c_2() {
    let one = |block: &str, name: &str, value: &str, size| {
        examples(&mut Decoder::new(), &[(block, &[(name, value)], size)]);
    };
    one(
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        "custom-key",
        "custom-header",
        55,
    );
    one(
        "040c 2f73 616d 706c 652f 7061 7468",
        ":path",
        "/sample/path",
        0,
    );
    one(
        "1008 7061 7373 776f 7264 0673 6563 7265 74",
        "password",
        "secret",
        0,
    );
    one("82", ":method", "GET", 0);
}

const FIRST: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

#[test]
fn requests_are_those_of_appendix_c_3() {
    examples(
        &mut Decoder::new(),
        &[
            (
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                FIRST,
                57,
            ),
            ("8286 84be 5808 6e6f 2d63 6163 6865", SECOND, 110),
            (
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
                THIRD,
                164,
            ),
        ],
    );
}

#[test]
fn requests_in_huffman_code_are_those_of_appendix_c_4() {
    examples(
        &mut Decoder::new(),
        &[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST, 57),
            ("8286 84be 5886 a8eb 1064 9cbf", SECOND, 110),
            (
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
                THIRD,
                164,
            ),
        ],
    );
}

const FOUND: &[(&str, &str)] = &[
    (":status", "302"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const AGAIN: &[(&str, &str)] = &[
    (":status", "307"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const COOKIE: &[(&str, &str)] = &[
    (":status", "200"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
    ("location", "https://www.example.com"),
    ("content-encoding", "gzip"),
    (
        "set-cookie",
        "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ),
];

/// These examples have a table of 256 bytes, so that entries go.
fn small() -> Decoder {
    let mut decoder = Decoder::new();
    decoder.table.resize(256).unwrap();
    decoder
}

#[test]
fn answers_are_those_of_appendix_c_5() {
    examples(
        &mut small(),
        &[
            (
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
                 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                FOUND,
                222,
            ),
            ("4803 3330 37c1 c0bf", AGAIN, 222),
            (
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
                 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
                 2076 6572 7369 6f6e 3d31",
                COOKIE,
                215,
            ),
        ],
    );
}

#[test]
fn answers_in_huffman_code_are_those_of_appendix_c_6() {
    examples(
        &mut small(),
        &[
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
                 8f0b 97c8 e9ae 82ae 43d3",
                FOUND,
                222,
            ),
            ("4883 640e ffc1 c0bf", AGAIN, 222),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
                 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                COOKIE,
                215,
            ),
        ],
    );
}

#[test]
fn the_size_of_the_table_changes_before_the_first_field_and_within_its_bound() {
    let mut decoder = Decoder::new();
    read(&mut decoder, &bytes("400161 0162")).unwrap();
    assert_eq!(decoder.table.size(), 34);
    // To 0 and back: what was there is gone.
    assert_eq!(
        read(&mut decoder, &bytes("20 3fe11f 88")),
        Ok(fields(&[(":status", "200")]))
    );
    assert_eq!(read(&mut decoder, &bytes("be")), Err(Malformed));
    assert_eq!(read(&mut decoder, &bytes("88 20")), Err(Malformed));
    assert_eq!(read(&mut decoder, &bytes("3fe21f")), Err(Malformed));
}

#[test]
fn what_is_written_reads_as_it_was() {
    let long = "x".repeat(20_000);
    let mut block = vec![EMPTY_TABLE];
    block.extend(REQUEST);
    path(&mut block, b"/a/b");
    authority(&mut block, b"user:50052");
    for value in [
        "",
        "trailers",
        &"y".repeat(126),
        &"y".repeat(127),
        &"y".repeat(128),
        &long,
    ] {
        literal(&mut block, b"te", value.as_bytes());
    }
    let read = read(&mut Decoder::new(), &block).unwrap();
    assert_eq!(
        read[..4],
        fields(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/a/b"),
            (":authority", "user:50052")
        ])
    );
    let lengths: Vec<usize> = read[4..].iter().map(|(_, value)| value.len()).collect();
    assert_eq!(lengths, [0, 8, 126, 127, 128, 20_000]);
}

#[test]
fn no_bytes_make_it_panic_or_grow() {
    for seed in 0..20_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut decoder = Decoder::new();
        for _ in 0..4 {
            let mut block = vec![0; random.random_range(0..64)];
            random.fill(block.as_mut_slice());
            let mut told = 0;
            let whole = decoder.decode(&block, |name, value| told += name.len() + value.len());
            // A field of one byte is at most an entry of the table.
            assert!(told <= block.len() * table::LARGEST, "{seed}");
            assert!(decoder.table.size() <= table::LARGEST, "{seed}");
            if whole.is_err() {
                break;
            }
        }
    }
}
