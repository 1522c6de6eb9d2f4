//! The language of ARM templates, as far as the templates of the official clients speak it.
use serde_json::{Map, Value, json};

use crate::answer::{Failure, Outcome};

mod parse;

pub(crate) use parse::Expression;

/// What expressions can ask of the world.
pub(crate) trait Scope {
    /// The subscription's and the resource group's own facts, for `subscription()` and `resourceGroup()`.
    fn subscription(&self) -> Value;
    fn resource_group(&self) -> Value;
    /// The properties of a resource, for `reference()`.
    fn reference(&self, id: &str) -> Option<Value>;
}

/// A template with the values of its parameters.
pub(crate) struct Template<'a> {
    parameters: Map<String, Value>,
    variables: Map<String, Value>,
    scope: &'a dyn Scope,
}

/// Expressions within expressions beyond this depth are refused.
const DEPTH: usize = 64;

pub(crate) fn invalid(message: impl Into<String>) -> Box<Failure> {
    Failure::new(400, "InvalidTemplate", format!("Deployment template validation failed: {}", message.into()))
}

impl<'a> Template<'a> {
    /// Takes parameters from what was given, else from their defaults.
    pub(crate) fn new(template: &Value, given: &Value, scope: &'a dyn Scope) -> Outcome<Self> {
        let mut made = Self { parameters: Map::new(), variables: Map::new(), scope };
        let none = Map::new();
        let mut open = Vec::new();
        for (name, parameter) in template["parameters"].as_object().unwrap_or(&none) {
            let found = given.get(name).and_then(|given| given.get("value"));
            match (found, parameter.get("defaultValue")) {
                (Some(value), _) => {
                    made.parameters.insert(name.to_lowercase(), value.clone());
                }
                (None, Some(default)) => open.push((name.to_lowercase(), default)),
                (None, None) => {
                    let message = format!("The value for the template parameter '{name}' is not provided.");
                    return Err(invalid(message));
                }
            }
        }
        made.defaults(open)?;
        for (name, variable) in template["variables"].as_object().unwrap_or(&none) {
            made.variables.insert(name.to_lowercase(), variable.clone());
        }
        Ok(made)
    }

    /// Works out the defaults, which may build on each other in any order.
    fn defaults(&mut self, mut open: Vec<(String, &Value)>) -> Outcome<()> {
        while !open.is_empty() {
            let before = open.len();
            let mut problem = None;
            open.retain(|(name, default)| match self.value(default, 0) {
                Ok(value) => {
                    self.parameters.insert(name.clone(), value);
                    false
                }
                Err(failure) => {
                    problem = Some(failure);
                    true
                }
            });
            if let Some(problem) = problem.filter(|_| open.len() == before) {
                return Err(problem);
            }
        }
        Ok(())
    }

    /// A value of the template with every expression in it worked out.
    pub(crate) fn evaluate(&self, value: &Value) -> Outcome<Value> {
        self.value(value, 0)
    }

    fn value(&self, value: &Value, depth: usize) -> Outcome<Value> {
        if depth > DEPTH {
            return Err(invalid("the expressions are nested too deeply."));
        }
        match value {
            Value::String(text) => self.text(text, depth),
            Value::Array(values) => values
                .iter()
                .map(|value| self.value(value, depth + 1))
                .collect::<Outcome<Vec<_>>>()
                .map(Value::Array),
            Value::Object(values) => {
                let mut made = Map::new();
                for (name, value) in values {
                    made.insert(name.clone(), self.value(value, depth + 1)?);
                }
                Ok(Value::Object(made))
            }
            other => Ok(other.clone()),
        }
    }

    fn text(&self, text: &str, depth: usize) -> Outcome<Value> {
        if let Some(rest) = text.strip_prefix("[[") {
            return Ok(json!(format!("[{rest}")));
        }
        match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(expression) => self.work_out(&parse::parse(expression)?, depth + 1),
            None => Ok(json!(text)),
        }
    }

    fn work_out(&self, expression: &Expression, depth: usize) -> Outcome<Value> {
        if depth > DEPTH {
            return Err(invalid("the expressions are nested too deeply."));
        }
        match expression {
            Expression::Literal(value) => Ok(value.clone()),
            Expression::Member(of, name) => {
                let of = self.work_out(of, depth + 1)?;
                let name = self.work_out(name, depth + 1)?;
                let found = match &name {
                    Value::Number(index) => index.as_u64().and_then(|index| of.get(index as usize)).cloned(),
                    Value::String(name) => member(&of, name),
                    _ => None,
                };
                found.ok_or_else(|| invalid(format!("the property {name} doesn't exist.")))
            }
            Expression::Call(name, arguments) => self.call(name, arguments, depth + 1),
        }
    }

    fn call(&self, name: &str, arguments: &[Expression], depth: usize) -> Outcome<Value> {
        let argument = |index: usize| match arguments.get(index) {
            Some(argument) => self.work_out(argument, depth),
            None => Err(invalid(format!("the function '{name}' lacks an argument."))),
        };
        // Only what is needed is worked out: the other branch may refer to what isn't there.
        match name {
            "if" => return argument(if argument(0)? == json!(true) { 1 } else { 2 }),
            "and" => {
                for index in 0..arguments.len() {
                    if argument(index)? != json!(true) {
                        return Ok(json!(false));
                    }
                }
                return Ok(json!(true));
            }
            "or" => {
                for index in 0..arguments.len() {
                    if argument(index)? == json!(true) {
                        return Ok(json!(true));
                    }
                }
                return Ok(json!(false));
            }
            "parameters" => {
                let wanted = argument(0)?;
                let found = self.parameters.get(&words(&wanted).to_lowercase()).cloned();
                return found.ok_or_else(|| invalid(format!("the parameter {wanted} is not defined.")));
            }
            "variables" => {
                let wanted = argument(0)?;
                let found = self.variables.get(&words(&wanted).to_lowercase());
                let found = found.ok_or_else(|| invalid(format!("the variable {wanted} is not defined.")))?;
                return self.value(found, depth + 1);
            }
            _ => {}
        }
        let given: Vec<Value> = (0..arguments.len()).map(argument).collect::<Outcome<_>>()?;
        self.function(name, &given)
    }

    fn function(&self, name: &str, given: &[Value]) -> Outcome<Value> {
        let first = given.first().cloned().unwrap_or(Value::Null);
        let all = || given.iter().map(words).collect::<Vec<_>>();
        Ok(match name {
            "not" => json!(first != json!(true)),
            "equals" => json!(given.first() == given.get(1)),
            "empty" => json!(is_empty(&first)),
            "concat" if first.is_array() => {
                given.iter().filter_map(Value::as_array).flatten().cloned().collect()
            }
            "concat" => json!(all().concat()),
            "array" => json!([first]),
            "json" => serde_json::from_str(&words(&first)).map_err(|error| invalid(error.to_string()))?,
            "tolower" => json!(words(&first).to_lowercase()),
            "toupper" => json!(words(&first).to_uppercase()),
            "string" => json!(words(&first)),
            "newguid" => json!(uuid::Uuid::new_v4().to_string()),
            "guid" => json!(hash(&all())),
            "uniquestring" => json!(hash(&all()).replace('-', "")[..13]),
            "subscription" => self.scope.subscription(),
            "resourcegroup" => self.scope.resource_group(),
            "resourceid" => json!(self.resource_id(&all())?),
            "subscriptionresourceid" => {
                let subscription = words(&self.scope.subscription()["subscriptionId"]);
                json!(joined(&format!("/subscriptions/{subscription}"), &all())?)
            }
            "reference" => {
                let id = words(&first);
                let found = self.scope.reference(&id);
                found
                    .ok_or_else(|| invalid(format!("the resource '{id}' is not defined in the template.")))?
            }
            _ => {
                return Err(invalid(format!(
                    "the template function '{name}' is not supported by this emulator."
                )));
            }
        })
    }

    /// `resourceId([subscription], [group], type, names...)`.
    fn resource_id(&self, words_given: &[String]) -> Outcome<String> {
        let at = words_given.iter().position(|word| word.contains('/'));
        let at = at.ok_or_else(|| invalid("resourceId() needs a type of resource."))?;
        let (before, rest) = words_given.split_at(at);
        let own = (
            words(&self.scope.subscription()["subscriptionId"]),
            words(&self.scope.resource_group()["name"]),
        );
        let (subscription, group) = match before {
            [] => own,
            [group] => (own.0, group.clone()),
            [subscription, group, ..] => (subscription.clone(), group.clone()),
        };
        joined(&format!("/subscriptions/{subscription}/resourceGroups/{group}"), rest)
    }
}

/// A scope, a type with its slashes, and as many names as the type has parts.
fn joined(scope: &str, rest: &[String]) -> Outcome<String> {
    let (kind, names) = rest.split_first().ok_or_else(|| invalid("a type of resource is missing."))?;
    let mut parts = kind.split('/');
    let mut id = format!("{scope}/providers/{}", parts.next().unwrap_or(""));
    let kinds: Vec<&str> = parts.collect();
    if kinds.len() != names.len() {
        return Err(invalid(format!("the type '{kind}' needs {} names, not {}.", kinds.len(), names.len())));
    }
    for (kind, name) in kinds.iter().zip(names) {
        id.push_str(&format!("/{kind}/{name}"));
    }
    Ok(id)
}

fn member(of: &Value, name: &str) -> Option<Value> {
    let found = of.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.clone())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        _ => false,
    }
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn hash(words: &[String]) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    crate::rules::guid(&words)
}

#[cfg(test)]
mod tests;
