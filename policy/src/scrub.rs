//! Finding a live credential in what comes back: raw, base64 (both alphabets, three alignments), URL-escaped and
//! JSON-escaped.
//!
//! Escapes are undone before the search, so any mix of escaped and plain characters, in either case, is found.
//! Encodings that need a key or a dictionary (encryption, compression) are out of reach.

mod body;
mod form;
mod view;

use std::ops::Range;
use std::rc::Rc;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

pub use body::Searched;

use crate::header_map::HeaderMap;
use crate::query::REDACTED;
use crate::secret::{MIN_BYTES, Secret};
use form::Form;
use view::View;

/// A credential value and the forms in which it may come back.
pub struct Live {
    secret: Secret,
    forms: Vec<Form>,
    /// Forms in which it may be the name of a header: in lower case, which is all that is left of a name's case.
    names: Vec<Form>,
    /// Length of the shortest form, in bytes.
    shortest: usize,
}

impl Live {
    /// Prepares the forms once, so that no request does.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        // Exposed to be encoded; every form is a secret of its own.
        let (mut forms, mut names) = (Vec::new(), Vec::new());
        for bare in bare_values(secret.expose()) {
            forms.push(Form::new(bare));
            names.push(Form::new(Secret::new(bare.to_ascii_lowercase()).expose()));
            (0..3).for_each(|offset| push_base64(&mut forms, bare, offset));
        }
        let shortest = forms.iter().map(Form::length).min().unwrap_or_default();
        Live { secret, forms, names, shortest }
    }

    /// The value.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    fn find(&self, view: &View<'_>, found: &mut Vec<Range<usize>>) {
        for form in &self.forms {
            found.extend(form.find(view.bytes()).map(|range| view.original(range)));
        }
    }
}

/// The value itself, and what follows its last space: of `Bearer sk-…` the token is the secret.
fn bare_values(value: &[u8]) -> Vec<&[u8]> {
    let whole = value.trim_ascii();
    let token = whole.rsplit(|b| *b == b' ').next().unwrap_or(whole);
    let mut bare = vec![whole];
    if token.len() < whole.len() && token.len() >= MIN_BYTES {
        bare.push(token);
    }
    bare
}

/// Adds the base64 characters that `value` alone determines when it starts `offset` bytes into a group of three.
fn push_base64(forms: &mut Vec<Form>, value: &[u8], offset: usize) {
    let mut shifted = vec![0; offset];
    shifted.extend_from_slice(value);
    let shifted = Secret::new(shifted);
    let own = (offset * 8).div_ceil(6)..(offset + value.len()) * 8 / 6;
    let standard = Secret::new(BASE64_STANDARD_NO_PAD.encode(shifted.expose()).into_bytes());
    let url_safe = Secret::new(BASE64_URL_SAFE_NO_PAD.encode(shifted.expose()).into_bytes());
    let differ = standard.expose() != url_safe.expose();
    for encoded in [Some(standard), differ.then_some(url_safe)].into_iter().flatten() {
        forms.extend(encoded.expose().get(own.clone()).map(Form::new));
    }
}

/// What one request's response, and its record, are cleaned of.
#[derive(Default)]
pub struct Scrubber {
    live: Vec<Rc<Live>>,
}

impl Scrubber {
    /// A scrubber for these values.
    #[must_use]
    pub fn new(live: Vec<Rc<Live>>) -> Self {
        Scrubber { live }
    }

    /// One that finds this value too.
    #[must_use]
    pub fn and(mut self, secret: Secret) -> Self {
        self.live.push(Rc::new(Live::new(secret)));
        self
    }

    /// Whether some credential may be in the text. Undoing escapes makes it no longer, and most are shorter than any key.
    fn fits_into(&self, text: &[u8]) -> bool {
        self.live.iter().any(|live| text.len() >= live.shortest)
    }

    /// Whether the name of a header holds a credential.
    #[must_use]
    pub fn is_in_name(&self, name: &[u8]) -> bool {
        if !self.fits_into(name) {
            return false;
        }
        let mut forms = self.live.iter().flat_map(|live| &live.names);
        let views: Vec<Vec<u8>> =
            View::all(name).iter().map(|view| view.bytes().to_ascii_lowercase()).collect();
        forms.any(|form| views.iter().any(|view| form.find(view).next().is_some()))
    }

    /// The value with `[redacted]` in place of each credential; `None` when it holds none.
    #[must_use]
    pub fn scrub(&self, value: &[u8]) -> Option<Vec<u8>> {
        if !self.fits_into(value) {
            return None;
        }
        let mut found = Vec::new();
        for view in View::all(value) {
            self.live.iter().for_each(|live| live.find(&view, &mut found));
        }
        (!found.is_empty()).then(|| replace(value, found))
    }
}

/// Where a text was cut off from a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// There was more before it.
    Before,
    /// There was more after it.
    After,
}

impl Scrubber {
    /// The text with `[redacted]` in place of each credential, and of whatever is left of one where it was cut.
    #[must_use]
    pub fn scrub_part(&self, text: Vec<u8>, cut: Option<Cut>) -> Vec<u8> {
        let mut found = Vec::new();
        for view in View::all(&text) {
            for live in &self.live {
                live.find(&view, &mut found);
                let parts = live.forms.iter().filter_map(|form| form.find_part(view.bytes(), cut?));
                found.extend(parts.map(|range| view.original(range)));
            }
        }
        if found.is_empty() { text } else { replace(&text, found) }
    }
}

/// A header, and all the values that it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// Name.
    pub name: Vec<u8>,
    /// Values, in order; none where the header is to go, because its name holds a credential.
    pub values: Vec<Vec<u8>>,
}

impl Scrubber {
    /// The headers whose name or some value holds a credential, with every value that they are to have. Replacing one
    /// value of several is no host call, so a header is rewritten as a whole.
    #[must_use]
    pub fn rewrite(&self, headers: &HeaderMap) -> Vec<Rewrite> {
        let mut rewrites: Vec<Rewrite> = Vec::new();
        for (name, value) in headers.iter() {
            let known = rewrites.iter().any(|rewrite| rewrite.name == name);
            if !known && self.is_in_name(name) {
                rewrites.push(Rewrite { name: name.to_vec(), values: Vec::new() });
            } else if !known && self.scrub(value).is_some() {
                let all = headers.iter().filter(|(other, _)| *other == name).map(|(_, value)| value);
                let values = all.map(|value| self.scrub(value).unwrap_or_else(|| value.to_vec())).collect();
                rewrites.push(Rewrite { name: name.to_vec(), values });
            }
        }
        rewrites
    }
}

fn replace(value: &[u8], mut found: Vec<Range<usize>>) -> Vec<u8> {
    found.sort_by_key(|range| range.start);
    let mut scrubbed = Vec::with_capacity(value.len());
    let mut done = 0;
    for range in found {
        if range.start >= done {
            scrubbed.extend_from_slice(value.get(done..range.start).unwrap_or_default());
            scrubbed.extend_from_slice(REDACTED.as_bytes());
        }
        done = done.max(range.end);
    }
    scrubbed.extend_from_slice(value.get(done..).unwrap_or_default());
    scrubbed
}

#[cfg(test)]
mod tests;
