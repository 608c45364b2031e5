//! Lines with our own programs, run or not: the program takes what is written.

use tests::configuration::programs;

use super::blocks::blocks;
use super::calls::words;

#[test]
fn a_command_of_our_programs_is_one_that_they_take() {
    let mut lines = 0;
    for block in blocks().iter().filter(|block| block.info.starts_with("sh")) {
        for line in block.text.lines() {
            let words = words(line);
            // Without a command a program serves.
            let [name, _, ..] = &words[..] else { continue };
            let Some((_, program)) = programs().into_iter().find(|(known, _)| known == name) else {
                continue;
            };
            // Where the database is, a variable says.
            let words = words.iter().map(String::as_str);
            let taken = program.try_get_matches_from(words.chain(["--database-url=postgres://x"]));
            if let Err(error) = taken {
                panic!("{}: {line}\n{error}", block.document);
            }
            lines += 1;
        }
    }
    assert!(lines > 0);
}
