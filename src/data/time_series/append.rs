//! Series that continue in another file.

use std::collections::HashMap;
use std::path::Path;

use super::grid::TimeGrid;
use super::long_table::MOST_GAPS;
use super::series::{Covariates, TimeTable};
use crate::listing::{listed, thousands};
use crate::{Error, Result};

/// Append the steps of a validation or test file to the series of the same names.
pub(super) fn append(table: &mut TimeTable, more: TimeTable, path: &Path) -> Result<()> {
    let mut places: HashMap<(String, usize), usize> = HashMap::new();
    for (at, series) in table.series.iter().enumerate() {
        places.insert((series.name.clone(), series.column), at);
    }
    if let (Some(own), Some(found)) = (&table.grid, &more.grid)
        && !own.same_step(found)
        && more.tells_step()
    {
        let [own, found] = [own, found].map(TimeGrid::words);
        let problem = format!("its steps are {found}, but those of the training file are {own}");
        return Err(Error::file(path, problem));
    }
    let shift = shift(table, &more);
    let (mut unknown, all) = (0, more.series.len());
    for later in more.series {
        let Some(&at) = places.get(&(later.name.clone(), later.column)) else {
            unknown += 1;
            continue;
        };
        let series = &mut table.series[at];
        let end = series.values.len();
        let step = match &table.grid {
            Some(grid) => grid.steps(series.start, later.start.saturating_add(shift)),
            None => Some(end as i64),
        };
        let Some(step) = step.and_then(|step| usize::try_from(step).ok()).filter(|step| *step >= end) else {
            let problem =
                format!("series `{}` does not begin after its steps in the files before", later.name);
            return Err(Error::file(path, problem));
        };
        let most = MOST_GAPS as usize * (end + later.values.len());
        if step - end > most {
            let steps = thousands((step - end) as u64);
            let problem = format!(
                "series `{}` begins {steps} steps after the files before; check the time",
                later.name
            );
            return Err(Error::file(path, problem));
        }
        series.values.resize(step, f64::NAN);
        series.values.extend(&later.values);
        if series.covariates.width > 0 {
            let width = series.covariates.width;
            let mut values = series.covariates.values.clone();
            values.resize(step * width, f64::NAN);
            values.extend(&later.covariates.values);
            series.covariates = Covariates { width, values }.into();
        }
    }
    let name = path.file_name().unwrap_or_default().display();
    if unknown == all {
        let names = listed(table.series.iter().map(|series| &series.name), ", ");
        let problem =
            format!("continues no series of the training file; expected rows of its series ({names})");
        return Err(Error::file(path, problem));
    }
    table.notes.extend(more.notes.into_iter().map(|note| format!("{name}: {note}")));
    if unknown > 0 {
        table.notes.push(format!("{unknown} series of {name} alone left out"));
    }
    Ok(())
}

/// Milliseconds that the clock of `table` is ahead of that of `more`; 0 if one of them names no offset.
fn shift(table: &TimeTable, more: &TimeTable) -> i64 {
    let [own, other] = [table, more].map(|table| table.grid.as_ref().and_then(|grid| grid.form.offset()));
    own.zip(other).map_or(0, |(own, other)| own - other)
}
