//! What is wrong with a manifest, in terms of the file that holds it. Never a value out of it.

use std::fmt;

/// One problem, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// File name inside the directory; `None` speaks of the directory itself.
    pub file: Option<String>,
    /// Line, counted from 1.
    pub line: Option<u64>,
    /// Kind and name of the object.
    pub object: Option<String>,
    /// Path of the field.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// A problem of a whole file.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Problem { file: Some(file.to_owned()), ..Problem::of_directory(message, remedy) }
    }

    /// A problem of the directory.
    #[must_use]
    pub fn of_directory(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Problem {
            file: None,
            line: None,
            object: None,
            field: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, _) => {}
        }
        for part in [&self.object, &self.field].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}
