//! Interleavings of three writers and a reader.

/// One step. Writers are numbered, and so are keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Begin(usize),
    /// The writer gets its transaction id, long before it writes.
    TakeId(usize),
    /// The writer changes a key and tells of it.
    Append(usize, usize),
    Commit(usize),
    Rollback(usize),
    /// The reader takes what is new.
    Look,
}

pub(crate) const WRITERS: usize = 3;
pub(crate) const KEYS: usize = 3;

/// A random schedule. None of its steps waits for another one, and in the end everything is committed or rolled back.
pub(crate) fn random(seed: u64) -> Vec<Op> {
    let mut random = Random(seed);
    let mut writers = [Writer::default(), Writer::default(), Writer::default()];
    let mut ops = Vec::new();
    if random.below(3) == 0 {
        // Somebody who holds the horizon back for the whole time.
        ops.extend([Op::Begin(0), Op::TakeId(0)]);
        writers[0] = Writer {
            open: true,
            idle: true,
            keys: [false; KEYS],
        };
    }
    let length = 8 + random.below(24);
    while ops.len() < length {
        if random.below(5) == 0 {
            ops.push(Op::Look);
            continue;
        }
        let who = random.below(WRITERS);
        let key = random.below(KEYS);
        let locked = (0..WRITERS).any(|other| other != who && writers[other].keys[key]);
        let writer = &mut writers[who];
        match (writer.open, random.below(6)) {
            _ if writer.idle => {}
            (false, _) => {
                ops.push(Op::Begin(who));
                writer.open = true;
            }
            (true, 0) => ops.push(Op::TakeId(who)),
            (true, 1) => {
                ops.push(Op::Rollback(who));
                *writer = Writer::default();
            }
            (true, 2) => {
                ops.push(Op::Commit(who));
                *writer = Writer::default();
            }
            (true, _) if locked => {}
            (true, _) => {
                ops.push(Op::Append(who, key));
                writer.keys[key] = true;
            }
        }
    }
    ops.extend(
        (0..WRITERS)
            .filter(|who| writers[*who].open)
            .map(Op::Commit),
    );
    ops.push(Op::Look);
    ops
}

#[derive(Clone, Copy, Default)]
struct Writer {
    open: bool,
    idle: bool,
    keys: [bool; KEYS],
}

/// SplitMix64: a schedule is named by its seed, for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
