//! Routes in schemas: collects the options of `veltrix/v1/options.proto` from .proto files into one RouteMap.
//!
//! The files are compiled in this process, without protoc, and `veltrix/v1/*.proto` need not be on disk. What is collected is not
//! yet known to be a map that can be routed by; [`Compiler::compile`](crate::Compiler::compile) says that.

use crate::fault::{Reason, Refused};
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, FileDescriptor, MessageDescriptor, Value};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use std::path::{Path, PathBuf};
use veltrix_proto::v1::{self, EventTypes, RouteMap};

mod fields;
mod nesting;
mod origins;

pub use nesting::{BRACES_MAX, first_too_deep};
pub use origins::Place;

/// Why schemas did not become a RouteMap.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A path can't be read.
    #[error("can't read `{}`; give a .proto file or a directory of them", path.display())]
    Unreadable {
        /// The path as it was given.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is nothing to compile.
    #[error("no .proto file in {}", quoted(.0))]
    NoFiles(Vec<PathBuf>),
    /// The schemas say nothing about routes.
    #[error("no option (veltrix.v1.route_map) or (veltrix.v1.event) in {}; see veltrix/v1/options.proto", quoted(.0))]
    NoRoutes(Vec<PathBuf>),
    /// The protobuf compiler refuses a file; the text has the file and, unless it is about its end, line and column.
    #[error("{0}")]
    Syntax(String),
    /// A route in a message says what types it is about.
    #[error(
        "route `{route}` of message `{message}` has `types`; the message says what it is about: remove them, or put the route into the file's option (veltrix.v1.route_map)"
    )]
    TypesInMessage {
        /// The route's id.
        route: String,
        /// The message's full name.
        message: String,
    },
    /// A message is marked as an event without a type.
    #[error("message `{message}` has the option (veltrix.v1.event) without a `type`")]
    NoType {
        /// The message's full name.
        message: String,
    },
    /// Two files give what a map has once.
    #[error("`{field}` of the route map is given in `{first}` and in `{second}`; give it in one of them")]
    GivenTwice {
        /// The RouteMap's field.
        field: &'static str,
        /// The file that gave it first.
        first: String,
        /// The file that gave it again.
        second: String,
    },
    /// Routes ask of an event's payload what its message does not have.
    #[error(transparent)]
    Routes(Refused),
}

fn quoted(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

/// A RouteMap, and which file each part of it comes from.
#[derive(Debug, Default)]
pub struct FromSchemas {
    /// What was collected.
    pub map: RouteMap,
    /// What is wrong with routes about events which the schemas describe: fields that their messages don't have, and tests that can't be made
    /// of what these hold. [`Compiler::compile`](crate::Compiler::compile) finds it only if all sources' payloads are messages.
    pub faults: Vec<Reason>,
    origins: origins::Origins,
    /// The file that says everything, if there is but one.
    only: Option<String>,
}

impl FromSchemas {
    /// Where the field at `path`, such as `routes[3].to[0]`, is said; `None` if no file alone does.
    pub fn place_of(&self, path: &str) -> Option<Place<'_>> {
        let of_only = || Some(Place { file: self.only.as_deref()?, option: None, path: path.to_owned() });
        self.origins.place_of(path).or_else(of_only)
    }
}

/// Compiles .proto files, and those of the directories among `paths`, and collects their routes.
///
/// Files import each other relative to the given directories, or to the directory that a given file is in.
///
/// # Errors
/// The first thing that is wrong, but for [`FromSchemas::faults`], all of which are told.
pub fn compile_files(paths: &[PathBuf]) -> Result<RouteMap, SchemaError> {
    let FromSchemas { map, faults, .. } = collect_files(paths)?;
    if faults.is_empty() { Ok(map) } else { Err(SchemaError::Routes(Refused::of(faults, 0))) }
}

/// The same, with the file of each part, so that what is wrong with the map can be told with its file.
///
/// # Errors
/// The first thing that is wrong; what is wrong with routes is in [`FromSchemas::faults`].
pub fn collect_files(paths: &[PathBuf]) -> Result<FromSchemas, SchemaError> {
    let (mut includes, mut files) = (Vec::new(), Vec::new());
    for path in paths {
        let unreadable = |source| SchemaError::Unreadable { path: path.clone(), source };
        if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            find_schemas(path, &mut files).map_err(unreadable)?;
            includes.push(path.as_path());
        } else {
            files.push(path.clone());
            includes.push(path.parent().unwrap_or(Path::new("")));
        }
    }
    if files.is_empty() {
        return Err(SchemaError::NoFiles(paths.to_vec()));
    }
    // A directory stands before those within it, so that a file has one name, whichever of them it was given by.
    includes.sort();
    includes.dedup();
    let mut resolver = ChainFileResolver::new();
    resolver.add(GoogleFileResolver::new());
    resolver.add(OwnFiles);
    includes.iter().for_each(|include| resolver.add(Shallow(include.to_path_buf())));
    let name_of = |file: &PathBuf| {
        let name = includes.iter().find_map(|include| file.strip_prefix(include).ok()).unwrap_or(file);
        name.to_string_lossy().replace('\\', "/")
    };
    let mut names: Vec<String> = Vec::new();
    for name in files.iter().map(name_of) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_files(&files).map_err(|error| SchemaError::Syntax(explain(&error)))?;
    let source_of = |name: &str| includes.iter().find_map(|include| std::fs::read_to_string(include.join(name)).ok());
    let mut collected = collect(&compiler.descriptor_pool(), names.iter().map(String::as_str), &source_of)?;
    if collected.map == RouteMap::default() {
        return Err(SchemaError::NoRoutes(files));
    }
    if collected.map.descriptors.is_empty() && collected.map.sources.iter().any(is_of_messages) {
        collected.map.descriptors = compiler.encode_file_descriptor_set().into();
    }
    if let [only] = names.as_slice() {
        collected.only = Some(only.clone());
    }
    Ok(collected)
}

/// Whether payloads are messages, which are those of the schemas then, unless the map brings descriptors of its own.
fn is_of_messages(source: &v1::Source) -> bool {
    let kind = source.payload.as_ref().and_then(|payload| payload.kind.as_ref());
    matches!(kind, Some(v1::payload::Kind::Protobuf(_)))
}

fn find_schemas(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            find_schemas(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

/// protox's message with its place, and the causes behind it, which say what is wrong within an option.
fn explain(error: &protox::Error) -> String {
    use miette::Diagnostic as _;
    // Only its debug form has file, line and column.
    let mut text = format!("{error:?}");
    // What is wrong with a file as a whole, or at its end, has no place.
    if let Some(file) = error.file()
        && !text.contains(file)
    {
        text.insert_str(0, &format!("{file}: "));
    }
    let mut source = error.diagnostic_source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.diagnostic_source();
    }
    text
}

/// The files of a directory, but for those that are nested so deep that to read them could end the program.
struct Shallow(PathBuf);

impl FileResolver for Shallow {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        IncludeFileResolver::new(self.0.clone()).resolve_path(path)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        // What can't be read is told by who reads it.
        let text = std::fs::read_to_string(self.0.join(name)).unwrap_or_default();
        if let Some(at) = first_too_deep(&text) {
            let line = 1 + text.get(..at).unwrap_or_default().matches('\n').count();
            return Err(protox::Error::new(format!("{name}:{line}: is nested deeper than {BRACES_MAX} brackets here")));
        }
        IncludeFileResolver::new(self.0.clone()).open_file(name)
    }
}

/// `veltrix/v1/*.proto` as they were when this program was built.
struct OwnFiles;

impl FileResolver for OwnFiles {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match veltrix_proto::SCHEMA_IMPORTS.iter().find(|(path, _)| *path == name) {
            Some((path, source)) => File::from_source(path, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

fn collect<'n>(
    pool: &DescriptorPool,
    files: impl Iterator<Item = &'n str>,
    source_of: &dyn Fn(&str) -> Option<String>,
) -> Result<FromSchemas, SchemaError> {
    let mut collected = Collected::default();
    let (file_option, message_option) =
        (pool.get_extension_by_name("veltrix.v1.route_map"), pool.get_extension_by_name("veltrix.v1.event"));
    for file in files.filter_map(|name| pool.get_file_by_name(name)) {
        let source = source_of(file.name()).unwrap_or_default();
        if let Some(option) = &file_option
            && let Some(map) = option_of(file.options(), option)
        {
            collected.add_file(&file, map)?;
            let written = origins::written(&file, &source, None, option.number());
            collected.from.origins.note(&collected.from.map, file.name(), written);
        }
        if let Some(option) = &message_option {
            collected.add_messages(file.messages(), None, (option, &source))?;
        }
    }
    let Collected { mut from, events, .. } = collected;
    let sources = &from.map.sources;
    // Then the table knows what they are, and that more exactly.
    if sources.is_empty() || !sources.iter().all(is_of_messages) {
        from.faults = events.faults(&from.map);
    }
    Ok(from)
}

fn option_of<T: prost::Message + Default>(options: DynamicMessage, extension: &ExtensionDescriptor) -> Option<T> {
    if !options.has_extension(extension) {
        return None;
    }
    match options.get_extension(extension).as_ref() {
        Value::Message(message) => message.transcode_to().ok(),
        _ => None,
    }
}

#[derive(Default)]
struct Collected {
    from: FromSchemas,
    events: fields::Events,
    /// The files that gave the name, the unmatched policy and the descriptors.
    named_by: String,
    described_by: String,
    unmatched_by: String,
}

impl Collected {
    fn add_file(&mut self, file: &FileDescriptor, map: RouteMap) -> Result<(), SchemaError> {
        let twice = |field, first: &str| {
            Err(SchemaError::GivenTwice { field, first: first.to_owned(), second: file.name().to_owned() })
        };
        if !map.name.is_empty() {
            if !self.from.map.name.is_empty() {
                return twice("name", &self.named_by);
            }
            (self.from.map.name, self.named_by) = (map.name, file.name().to_owned());
        }
        if map.unmatched.is_some() {
            if self.from.map.unmatched.is_some() {
                return twice("unmatched", &self.unmatched_by);
            }
            (self.from.map.unmatched, self.unmatched_by) = (map.unmatched, file.name().to_owned());
        }
        if !map.descriptors.is_empty() {
            if !self.from.map.descriptors.is_empty() {
                return twice("descriptors", &self.described_by);
            }
            (self.from.map.descriptors, self.described_by) = (map.descriptors, file.name().to_owned());
        }
        self.from.map.sources.extend(map.sources);
        self.from.map.destinations.extend(map.destinations);
        self.from.map.routes.extend(map.routes);
        self.from.map.tenants.extend(map.tenants);
        self.from.map.lookups.extend(map.lookups);
        Ok(())
    }

    /// Adds the routes of messages of a file, or of those within the one at `outer`, and of those within them.
    fn add_messages(
        &mut self,
        messages: impl Iterator<Item = MessageDescriptor>,
        outer: Option<&[i32]>,
        (option, source): (&ExtensionDescriptor, &str),
    ) -> Result<(), SchemaError> {
        for (nth, message) in messages.enumerate() {
            let path = origins::path_of_message(outer, nth);
            if let Some(event) = option_of::<v1::Event>(message.options(), option) {
                self.add_event(&message, event)?;
                let file = message.parent_file();
                let written = origins::written(&file, source, Some(&path), option.number());
                self.from.origins.note(&self.from.map, file.name(), written);
            }
            self.add_messages(message.child_messages(), Some(&path), (option, source))?;
        }
        Ok(())
    }

    fn add_event(&mut self, message: &MessageDescriptor, event: v1::Event) -> Result<(), SchemaError> {
        if event.r#type.is_empty() {
            return Err(SchemaError::NoType { message: message.full_name().to_owned() });
        }
        self.events.add(&event.r#type, message);
        for mut route in event.routes {
            let types = EventTypes { exact: vec![event.r#type.clone()], ..EventTypes::default() };
            if route.types.replace(types).is_some() {
                let message = message.full_name().to_owned();
                return Err(SchemaError::TypesInMessage { route: route.id, message });
            }
            self.from.map.routes.push(route);
        }
        Ok(())
    }
}
