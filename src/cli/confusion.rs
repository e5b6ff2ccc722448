//! `rnn plot --confusion`: the confusion matrix of a model on data.

use rnn_zoo::inference::BATCH;
use rnn_zoo::inference::evaluate::evaluate;
use rnn_zoo::training::plot::Matrix;

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::data_args::DataArgs;
use super::flags::usage;

/// Return the confusion matrix of a bundle on the data of the flags.
pub fn confusion(bundle: &str, args: &DataArgs, compute: &Compute) -> anyhow::Result<Matrix> {
    let Some(data) = args.data.as_deref() else {
        return Err(usage("--confusion", "needs --data, the records to classify"));
    };
    let device = compute.open()?;
    let model = load_model(bundle, &device)?;
    let task = model.config.task;
    let spec = args.spec(data, &model.config);
    let split = args.announced_split(&spec, &model.config)?;
    let (dataset, split) = task.read_split(&spec, split, model.names())?;
    let scores = evaluate(model.network.as_ref(), &dataset, BATCH, task.meter(model.names()), &device)?;
    let Some(classes) = scores.classes else {
        let problem = format!("{bundle} is {}, which has no classes; name a classifier", task.model());
        return Err(usage("--confusion", problem));
    };
    let title = format!("{bundle} on {data} ({split})");
    Ok(Matrix { title, labels: classes.labels().to_vec(), counts: classes.matrix() })
}
