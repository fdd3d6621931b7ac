//! Mappings from a CSV file into a store.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use acs_identity::{AcsId, CustomerId, Error, Excerpt, Link, MappingStore};
use acs_identity_examples::{Failure, shown};
use csv::{ByteRecord, ReaderBuilder};

/// How many mappings are handed to the store at once.
const CHUNK: usize = 1000;

/// The mappings of one file.
pub(crate) struct MappingFile {
    name: String,
    links: Vec<Link>,
    /// The line of each.
    lines: Vec<usize>,
}

impl MappingFile {
    /// Reads and checks a whole file, so that nothing is stored of one that is wrong.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let name = shown(path);
        let text = fs::read(path).map_err(|error| format!("{name}: {error}"))?;
        let mut file = Self { name, links: Vec::new(), lines: Vec::new() };

        // Bytes, and rows of any length, so that what is wrong is told in our own words.
        let mut rows = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&*text);
        let mut row = ByteRecord::new();
        let mut place = Place { line: 1, at: 0 };
        let mut has_header = false;
        let mut first_lines = HashMap::new();
        while rows.read_byte_record(&mut row).map_err(|error| format!("{}: {error}", file.name))? {
            place.move_to(&row, &text);
            let wrong = |what: String| format!("{}:{}: {what}", file.name, place.line);
            if !has_header {
                has_header = true;
                if !row.iter().eq([b"acs_id" as &[u8], b"customer_id"]) {
                    let begin = Excerpt(text[place.at..].split(|byte| *byte == b'\n').next().unwrap_or_default());
                    return Err(wrong(format!("the header must be acs_id,customer_id, not {begin}")).into());
                }
                continue;
            }
            let (acs_id, customer_id) = ids(&row).map_err(wrong)?;
            match first_lines.get(&acs_id) {
                None => {}
                Some((_, same)) if *same == customer_id => continue,
                Some((first, _)) => {
                    return Err(wrong(format!("line {first} has the same ACS ID for another customer")).into());
                }
            }
            first_lines.insert(acs_id.clone(), (place.line, customer_id.clone()));
            file.links.push(Link::create(acs_id, customer_id));
            file.lines.push(place.line);
        }
        if !has_header {
            return Err(format!("{}: the file is empty; its first line must be acs_id,customer_id", file.name).into());
        }
        Ok(file)
    }

    /// Stores the mappings that are not there yet. One that is there for another customer ends it with an error, and
    /// takes nothing from what is stored.
    pub(crate) async fn store_in(&self, store: &dyn MappingStore) -> Result<(), Failure> {
        for (links, lines) in self.links.chunks(CHUNK).zip(self.lines.chunks(CHUNK)) {
            for (linked, line) in store.link_many(links).await.into_iter().zip(lines) {
                linked.map_err(|error| format!("{}:{line}: {error}", self.name))?;
            }
        }
        Ok(())
    }
}

/// The two IDs of a row, or what is wrong with it.
fn ids(row: &ByteRecord) -> Result<(AcsId, CustomerId), String> {
    let mut fields = row.iter();
    let (Some(acs_id), Some(customer_id), None) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!("a row has 2 columns, not {}", row.len()));
    };
    let told = |error: Error| error.message().to_owned();
    Ok((AcsId::from_utf8(acs_id).map_err(told)?, CustomerId::from_utf8(customer_id).map_err(told)?))
}

/// Where a row begins. The reader's own count is that of the row before, with its empty lines and half its line end.
struct Place {
    line: usize,
    at: usize,
}

impl Place {
    fn move_to(&mut self, row: &ByteRecord, text: &[u8]) {
        let before = row.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(text.len()));
        let line_ends = text[before..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let at = before + line_ends;
        self.line += text[self.at..at].iter().filter(|byte| **byte == b'\n').count();
        self.at = at;
    }
}
