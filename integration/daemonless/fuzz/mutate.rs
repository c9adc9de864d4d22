//! Changes to inputs.

/// Bytes that readers trip over.
const TOKENS: [&[u8]; 40] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"'''",
    b"\\",
    b"..",
    b"../",
    b"/",
    b"//",
    b"~",
    b"-",
    b"--",
    b"[",
    b"]",
    b"{",
    b"}",
    b"[[",
    b"=",
    b":",
    b"@",
    b"#",
    b"$",
    b"${",
    b"$(",
    b"*",
    b"**",
    b"?",
    b"!",
    b"\t",
    b"\x1b[2J",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    b"18446744073709551616",
    b"-1",
    b"0",
    b"1e400",
    b"null",
    b"ustar",
];

/// Makes inputs of those that are there; the same ones in every run with the same seed.
pub struct Mutator {
    /// What repeats it.
    pub seed: u64,
    state: u64,
}

impl Mutator {
    /// A sequence of its own for a name; another one for each `MLBUILD_TEST_SEED`.
    pub fn new(name: &str) -> Self {
        let given = std::env::var("MLBUILD_TEST_SEED").ok();
        let given: Option<u64> = given.map(|text| text.parse().expect("a whole number"));
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let given = given.unwrap_or(0);
        Self {
            seed: given,
            ..Self::of(seed ^ given.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        }
    }

    /// The sequence of a seed.
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            state: seed | 1,
        }
    }

    /// A number below `end` (0 where that is 0): xorshift64*.
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let number = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        if end == 0 { 0 } else { number as usize % end }
    }

    /// A range of `length` bytes, of 64 at most.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..(start + self.below(65)).min(length)
    }

    /// One of the inputs, with some changes.
    pub fn changed(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(5) {
            self.change(&mut input, inputs);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(8) {
            0 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] ^= 1 << self.below(8);
            }
            1 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] = self.below(256) as u8;
            }
            2 => drop(input.splice(at..at, TOKENS[self.below(TOKENS.len())].iter().copied())),
            3 => drop(input.drain(self.range(input.len()))),
            4 => {
                let piece = input[self.range(input.len())].to_vec();
                input.splice(at..at, piece);
            }
            5 => {
                let other = &inputs[self.below(inputs.len())];
                let piece = other[self.range(other.len())].to_vec();
                input.splice(at..at, piece);
            }
            6 => {
                let (piece, times) = (input[self.range(input.len())].to_vec(), self.below(40));
                input.splice(at..at, piece.repeat(times));
            }
            _ => {
                let range = self.range(input.len());
                input.splice(range, TOKENS[self.below(TOKENS.len())].iter().copied());
            }
        }
    }
}
