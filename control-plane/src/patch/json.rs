//! JSON patch (RFC 6902), with the one rule that Kubernetes has besides.

use serde_json::{Map, Number, Value};

use super::error::{Fault, Mismatch, PatchError, excerpt};
use super::pointer::{Pointer, index};
use super::type_of;

/// Most operations of a patch, as in Kubernetes.
pub const MAX_OPERATIONS: usize = 10_000;

/// Most that a patch may write, in bytes of JSON text.
///
/// It is what Kubernetes allows copies to add up to, and its largest request, so that values which the patch brings
/// along fit in. A `move` counts as well, for how deep a value is shows only by walking over it; and so does, with a
/// byte each, every item of a list that makes room or closes up.
pub const MAX_WRITTEN_BYTES: usize = 3 * 1024 * 1024;

/// Deepest nesting of objects and lists that a patch may make.
///
/// JSON parsers of Rust stop at 127 levels; the rest is left for what an object is wrapped in. Text is no bound here:
/// a patch that copies a value into itself makes it deeper at will.
pub const MAX_NESTING: usize = 100;

/// Applies a JSON patch. `test` of null passes where a container has no such member, as in Kubernetes: clients ask so
/// whether a field is absent. The container itself must be there.
///
/// # Errors
/// A malformed patch is refused before anything is done. When an operation does not apply, those before it have been
/// done: the caller then drops the target.
pub fn json(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Array(operations) = patch else { return Err(PatchError::NotAList { found: type_of(patch) }) };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations { count: operations.len(), limit: MAX_OPERATIONS });
    }
    // All are read first, so that a malformed patch is one whatever it is applied to.
    let operations: Vec<_> = operations
        .iter()
        .enumerate()
        .map(|(index, operation)| {
            Operation::parse(operation).map_err(|fault| {
                let text = |name| excerpt(operation.get(name).and_then(Value::as_str).unwrap_or("?"));
                PatchError::MalformedOperation { index, op: text("op"), path: text("path"), fault }
            })
        })
        .collect::<Result<_, _>>()?;
    let mut allowance = Allowance { left_bytes: MAX_WRITTEN_BYTES };
    for (index, operation) in operations.iter().enumerate() {
        operation.apply(target, &mut allowance).map_err(|mismatch| {
            let (op, path) = (operation.action.name(), operation.path.to_string());
            PatchError::DoesNotApply { index, op, path, mismatch }
        })?;
    }
    Ok(())
}

struct Operation<'a> {
    path: Pointer<'a>,
    action: Action<'a>,
}

enum Action<'a> {
    Add(&'a Value),
    Remove,
    Replace(&'a Value),
    Move(Pointer<'a>),
    Copy(Pointer<'a>),
    Test(&'a Value),
}

impl Action<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "add",
            Self::Remove => "remove",
            Self::Replace(_) => "replace",
            Self::Move(_) => "move",
            Self::Copy(_) => "copy",
            Self::Test(_) => "test",
        }
    }
}

impl<'a> Operation<'a> {
    /// Members that the operation does not need are ignored (RFC 6902, section 4).
    fn parse(operation: &'a Value) -> Result<Self, Fault> {
        let Value::Object(fields) = operation else { return Err(Fault::NotAnObject(type_of(operation))) };
        let value = || fields.get("value").ok_or(Fault::NoValue);
        let op = text(fields, "op")?;
        let path = pointer(fields, "path")?;
        let action = match op {
            "add" => Action::Add(value()?),
            "remove" if path.is_root() => return Err(Fault::RemovesAll),
            "remove" => Action::Remove,
            "replace" => Action::Replace(value()?),
            "move" => Action::Move(pointer(fields, "from")?),
            "copy" => Action::Copy(pointer(fields, "from")?),
            "test" => Action::Test(value()?),
            _ => return Err(Fault::UnknownOp),
        };
        match action {
            Action::Move(from) if from.is_around(path) => Err(Fault::IntoItself),
            action => Ok(Self { path, action }),
        }
    }

    fn apply(&self, document: &mut Value, allowance: &mut Allowance) -> Result<(), Mismatch> {
        let path = self.path;
        match self.action {
            Action::Add(value) => {
                allowance.write(value, path.depth())?;
                insert(document, path, value.clone(), allowance)
            }
            Action::Remove => remove(document, path, allowance).map(drop),
            Action::Replace(value) => {
                allowance.write(value, path.depth())?;
                *path.find_mut(document)? = value.clone();
                Ok(())
            }
            // Taken out and put back, an item of a list would do the same for more work.
            Action::Move(from) if from == path => from.find(document).map(drop),
            Action::Move(from) => {
                let value = remove(document, from, allowance)?;
                allowance.write(&value, path.depth())?;
                insert(document, path, value, allowance)
            }
            Action::Copy(from) => {
                let value = from.find(document)?;
                allowance.write(value, path.depth())?;
                let value = value.clone();
                insert(document, path, value, allowance)
            }
            Action::Test(value) => test(document, path, value),
        }
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, Fault> {
    fields.get(name).and_then(Value::as_str).ok_or(Fault::Text(name))
}

fn pointer<'a>(fields: &'a Map<String, Value>, name: &'static str) -> Result<Pointer<'a>, Fault> {
    Pointer::parse(text(fields, name)?).ok_or(Fault::Pointer(name))
}

fn insert(document: &mut Value, path: Pointer<'_>, value: Value, allowance: &mut Allowance) -> Result<(), Mismatch> {
    let Some((parent, token)) = path.split() else {
        *document = value;
        return Ok(());
    };
    match parent.find_mut(document)? {
        Value::Object(fields) => drop(fields.insert(token.into_owned(), value)),
        Value::Array(items) => {
            let len = items.len();
            let at = if token == "-" { Some(len) } else { index(&token).filter(|&at| at <= len) };
            let at = at.ok_or_else(|| Mismatch::Index { index: excerpt(&token), len })?;
            allowance.spend(len - at)?;
            items.insert(at, value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(Mismatch::NotAContainer(parent.to_string()));
        }
    }
    Ok(())
}

fn remove(document: &mut Value, path: Pointer<'_>, allowance: &mut Allowance) -> Result<Value, Mismatch> {
    let (parent, token) = path.split().expect("removing or moving all is malformed, and was refused");
    match parent.find_mut(document)? {
        Value::Object(fields) => fields.remove(&*token).ok_or_else(|| path.missing()),
        Value::Array(items) => {
            let len = items.len();
            let at = index(&token).filter(|&at| at < len);
            let at = at.ok_or_else(|| Mismatch::Index { index: excerpt(&token), len })?;
            allowance.spend(len - at)?;
            Ok(items.remove(at))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(path.missing()),
    }
}

fn test(document: &Value, path: Pointer<'_>, want: &Value) -> Result<(), Mismatch> {
    let found = match (path.find(document), want, path.split()) {
        (Err(missing), Value::Null, Some((parent, _))) => {
            return if parent.find(document)?.is_object() { Ok(()) } else { Err(missing) };
        }
        (found, _, _) => found?,
    };
    if is_equal(found, want) { Ok(()) } else { Err(Mismatch::NotEqual) }
}

/// Equal as RFC 6902, section 4.6, has it: 1 and 1.0 are the same number.
fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// What is left of [`MAX_WRITTEN_BYTES`].
struct Allowance {
    left_bytes: usize,
}

impl Allowance {
    /// Counts a value that is put inside `depth` containers. It costs no more than what it allows.
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Mismatch> {
        if depth >= MAX_NESTING && matches!(value, Value::Array(_) | Value::Object(_)) {
            return Err(Mismatch::TooDeep { limit: MAX_NESTING });
        }
        match value {
            Value::Null | Value::Bool(_) => self.spend(4),
            Value::Number(number) => self.spend(digits(number)),
            Value::String(text) => self.spend(text.len() + 2),
            // One byte to open, and behind each item a comma or the byte that closes.
            Value::Array(items) => {
                self.spend(1)?;
                items.iter().try_for_each(|item| {
                    self.spend(1)?;
                    self.write(item, depth + 1)
                })
            }
            // Two quotes and a colon more.
            Value::Object(fields) => {
                self.spend(1)?;
                fields.iter().try_for_each(|(key, field)| {
                    self.spend(key.len() + 4)?;
                    self.write(field, depth + 1)
                })
            }
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Mismatch> {
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or(Mismatch::TooLarge { limit: MAX_WRITTEN_BYTES })?;
        Ok(())
    }
}

/// How long a number is at least, without writing it out.
fn digits(number: &Number) -> usize {
    number.as_u64().and_then(u64::checked_ilog10).map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
pub(super) mod tests;
