//! The filter module: found, and refused where it does not read the configuration that this controller writes.

use std::path::{Path, PathBuf};

use policy::wire;

/// File name of the module beside the program.
const FILE: &str = "keyward.wasm";

/// The custom section in which a module says which versions of the wire configuration it reads, as a JSON list.
const SECTION: &str = "keyward.config_versions";

/// Why no module can be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// None was found.
    #[error(
        "no filter module: not in $KEYWARD_MODULE, and no {FILE} beside this program; run `make build`, or name one \
         with --module"
    )]
    Missing,
    /// It cannot be read.
    #[error("the filter module {} cannot be read: {error}; name another with --module", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is not a module of Keyward's.
    #[error("{} is not a Keyward filter module: it names no configuration versions; run `make build`", .0.display())]
    Foreign(PathBuf),
    /// It reads other versions.
    #[error(
        "the filter module {} does not read configuration version {}: module and controller are of different \
         releases; run `make build`, or name another with --module", .0.display(), wire::VERSION
    )]
    OtherVersion(PathBuf),
}

/// Finds and reads the module: as named, else in `$KEYWARD_MODULE`, else beside this program.
///
/// # Errors
/// [`ModuleError`].
pub fn find(flag: Option<PathBuf>) -> Result<Vec<u8>, ModuleError> {
    let variable = std::env::var_os("KEYWARD_MODULE").filter(|value| !value.is_empty()).map(PathBuf::from);
    let beside = || Some(std::env::current_exe().ok()?.with_file_name(FILE)).filter(|path| path.is_file());
    let path = flag.or(variable).or_else(beside).ok_or(ModuleError::Missing)?;
    let module =
        std::fs::read(&path).map_err(|error| ModuleError::Unreadable { path: path.clone(), error })?;
    check(&path, &module)?;
    Ok(module)
}

fn check(path: &Path, module: &[u8]) -> Result<(), ModuleError> {
    let section = custom_section(module, SECTION).ok_or_else(|| ModuleError::Foreign(path.to_owned()))?;
    let versions: Vec<u32> =
        serde_json::from_slice(section).map_err(|_| ModuleError::Foreign(path.to_owned()))?;
    match versions.contains(&wire::VERSION) {
        true => Ok(()),
        false => Err(ModuleError::OtherVersion(path.to_owned())),
    }
}

/// The content of a custom section (WebAssembly Core Specification, Binary Format, Modules).
fn custom_section<'a>(module: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0")?;
    while let [id, sections @ ..] = rest {
        let (size, body) = leb128(sections)?;
        let (section, following) = body.split_at_checked(size)?;
        if *id == 0 {
            let (length, text) = leb128(section)?;
            let (found, content) = text.split_at_checked(length)?;
            if found == name.as_bytes() {
                return Some(content);
            }
        }
        rest = following;
    }
    None
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for (name, content) in sections {
            let size = 1 + name.len() + content.len();
            bytes.extend([0, u8::try_from(size).unwrap(), u8::try_from(name.len()).unwrap()]);
            bytes.extend(name.as_bytes());
            bytes.extend(*content);
        }
        bytes
    }

    fn verdict(bytes: &[u8]) -> Result<(), String> {
        check(Path::new("m.wasm"), bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn a_module_of_this_release_is_taken_and_others_are_named() {
        assert_eq!(verdict(&module(&[("name", b"x"), (SECTION, b"[1]")])), Ok(()));
        assert_eq!(verdict(&module(&[(SECTION, b"[1,2]")])), Ok(()));
        assert!(verdict(&module(&[(SECTION, b"[2]")])).unwrap_err().contains("different releases"));
        for foreign in [&b""[..], b"\0asm\x01\0\0\0", b"\0asm\x01\0\0\0\0\x90", &module(&[("name", b"x")])] {
            assert!(verdict(foreign).unwrap_err().contains("not a Keyward filter module"), "{foreign:?}");
        }
        assert!(verdict(&module(&[(SECTION, b"one")])).unwrap_err().contains("not a Keyward filter module"));
    }
}
