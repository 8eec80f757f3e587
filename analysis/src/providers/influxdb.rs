//! `InfluxDB` 2: Flux queries. The answer is CSV with annotations.
//!
//! The values of the column `_value` of all rows of all tables are measured, as a list, as in Argo Rollouts.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_crds::InfluxdbMetric;

use super::account::Account;
use super::shared::{self, invalid, non_empty, quoted};
use super::talk::{Once, Talk};
use super::{Context, Found, Needs, Provider, ProviderError, answer};
use crate::conditions::MAX_NUMBERS;
use crate::{HttpRequest, HttpResponse};

const NAME: &str = "influxdb";
const SERVER: &str = "InfluxDB";
/// The Secret with the account where a metric names none, as in Argo Rollouts.
const SECRET: &str = "influxdb";
const ADDRESS: &str = "address";
const TOKEN: &str = "authToken";
const ORG: &str = "org";
/// As in Argo Rollouts.
const TIMEOUT: Duration = Duration::from_secs(30);
const EXAMPLE: &str = "http://influxdb.monitoring:8086";

impl Provider for InfluxdbMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        problems.extend(query(self).err());
        problems.extend(account(self).check("profile").err());
        problems
    }

    fn add_needs(&self, needs: &mut Needs) {
        account(self).add_needs(needs, &[TOKEN], &[ADDRESS, ORG]);
    }

    fn talk(&self, context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        let account = account(self);
        account.check("profile")?;
        let token = account.value(context, TOKEN)?;
        let address = account.address(&account.value(context, ADDRESS)?, ADDRESS, EXAMPLE)?;
        let org = form_urlencoded::Serializer::new(String::new())
            .append_pair("org", &account.value(context, ORG)?)
            .finish();
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let dialect = json!({
            "header": true, "delimiter": ",", "commentPrefix": "#", "annotations": ["datatype", "group", "default"],
        });
        let request = HttpRequest {
            method: "POST",
            url: format!("{address}/api/v2/query?{org}"),
            headers: vec![
                header("Content-Type", "application/json"),
                header("Accept", "application/csv"),
                header("Authorization", &format!("Token {token}")),
            ],
            body: Some(json!({"query": query(self)?, "type": "flux", "dialect": dialect}).to_string()),
            timeout: TIMEOUT,
            insecure: false,
            body_limit: shared::BODY_LIMIT,
        };
        Ok(Box::new(Once { request, read }))
    }
}

fn query(metric: &InfluxdbMetric) -> Result<&str, ProviderError> {
    let query = metric.query.as_deref().map(str::trim).unwrap_or_default();
    if query.is_empty() {
        return Err(invalid(NAME, "query", "is empty: give a Flux query"));
    }
    Ok(query)
}

fn account(metric: &InfluxdbMetric) -> Account<'_> {
    Account {
        provider: NAME,
        secret: non_empty(metric.profile.as_ref()).unwrap_or(SECRET),
    }
}

fn read(response: &HttpResponse) -> Result<Found, String> {
    if !shared::is_success(response.status) {
        let answer: Option<Value> = serde_json::from_slice(&response.body).ok();
        let said = answer
            .as_ref()
            .and_then(|answer| answer["message"].as_str().or(answer["error"].as_str()));
        return Err(answer::refused(SERVER, response.status, said));
    }
    let cells = cells(&response.body)?;
    // A value is a number, or nothing where a number belongs; NaN is no evidence.
    let numbers: Option<Vec<f64>> = cells
        .iter()
        .map(|cell| match cell {
            Cell::Number(number) => Some(*number),
            Cell::Nothing => Some(f64::NAN),
            Cell::Text(_) | Cell::Bool(_) => None,
        })
        .collect();
    match numbers {
        Some(numbers) => answer::numbers(numbers),
        None => answer::value(Value::Array(cells.into_iter().map(Cell::json).collect())),
    }
}

/// A value of a table.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Nothing,
    Number(f64),
    Bool(bool),
    Text(String),
}

impl Cell {
    /// Conditions know numbers that are not finite as texts, as other servers write them in JSON.
    fn json(self) -> Value {
        match self {
            Cell::Nothing => Value::Null,
            Cell::Number(number) if number.is_finite() => Value::from(number),
            Cell::Number(number) => Value::from(shared::shown(number)),
            Cell::Bool(value) => Value::Bool(value),
            Cell::Text(text) => Value::String(text),
        }
    }
}

/// What is known of the table that is being read.
#[derive(Default)]
struct Table {
    types: csv::StringRecord,
    defaults: csv::StringRecord,
    header: csv::StringRecord,
    /// The place of `_value`.
    at: usize,
}

const NO_TABLE: &str = "the answer of InfluxDB is no table: is the address right?";
const CUT_OFF: &str = "the answer of InfluxDB is cut off";

/// The values of all tables (<https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv>). Annotations begin a
/// table, its header follows, then its rows.
fn cells(body: &[u8]) -> Result<Vec<Cell>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(body);
    let mut cells = Vec::new();
    let mut table = Table::default();
    for row in reader.records() {
        let row = row.map_err(|_| NO_TABLE)?;
        match row.get(0).unwrap_or_default() {
            annotation if annotation.starts_with('#') => {
                if !table.header.is_empty() {
                    table = Table::default();
                }
                match annotation {
                    "#datatype" => table.types = row,
                    "#default" => table.defaults = row,
                    _ => {}
                }
            }
            _ if table.header.is_empty() || is_header(&row) => {
                table.at = place(&row)?;
                table.header = row;
            }
            _ if is_error(&table.header) => {
                let said = row.get(1).filter(|said| !said.is_empty());
                let said = said.unwrap_or("it does not say why");
                return Err(format!("InfluxDB refused the query: {}", quoted(said)));
            }
            _ => cells.push(table.cell(&row)?),
        }
        if cells.len() > MAX_NUMBERS {
            return Err(format!(
                "the query returned more than {MAX_NUMBERS} values: aggregate it, or take a shorter time"
            ));
        }
    }
    // Each line has an end. A number without one may be the beginning of another number.
    if !body.is_empty() && !body.ends_with(b"\n") {
        return Err(CUT_OFF.to_owned());
    }
    Ok(cells)
}

impl Table {
    fn cell(&self, row: &csv::StringRecord) -> Result<Cell, String> {
        if row.len() != self.header.len() {
            return Err(CUT_OFF.to_owned());
        }
        let text = row.get(self.at).unwrap_or_default();
        let text = match text {
            "" => self.defaults.get(self.at).unwrap_or_default(),
            text => text,
        };
        let kind = self.types.get(self.at).unwrap_or_default();
        let wrong = || format!("the answer of InfluxDB has a value that is no {}", quoted(kind));
        match (kind, text) {
            ("string", text) => Ok(Cell::Text(text.to_owned())),
            (_, "") => Ok(Cell::Nothing),
            ("double" | "long" | "unsignedLong", text) => text.parse().map(Cell::Number).map_err(|_| wrong()),
            ("boolean", "true") => Ok(Cell::Bool(true)),
            ("boolean", "false") => Ok(Cell::Bool(false)),
            ("boolean", _) => Err(wrong()),
            // A server that leaves the types out.
            ("", text) => Ok(text.parse().map_or_else(|_| Cell::Text(text.to_owned()), Cell::Number)),
            (_, text) => Ok(Cell::Text(text.to_owned())),
        }
    }
}

/// The first names of a header of results.
fn is_header(row: &csv::StringRecord) -> bool {
    (row.get(1), row.get(2)) == (Some("result"), Some("table")) || is_error(row)
}

/// An error in the middle of an answer is a table of its own.
fn is_error(header: &csv::StringRecord) -> bool {
    (header.get(1), header.get(2)) == (Some("error"), Some("reference"))
}

fn place(header: &csv::StringRecord) -> Result<usize, String> {
    if is_error(header) {
        return Ok(0);
    }
    if !is_header(header) {
        return Err(NO_TABLE.to_owned());
    }
    header
        .iter()
        .position(|name| name == "_value")
        .ok_or_else(|| "the query returned a table without a column _value: keep or make one".to_owned())
}

#[cfg(test)]
mod tests;
