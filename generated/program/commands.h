/* commands.h: SUBCOMMAND(NAME, what it does), run by cmd_NAME; for main.c, twice. */
/* subcommands: cells */
SUBCOMMAND(import, "bring images of cells into a data set")
SUBCOMMAND(data, "verify data sets and say what they are")
SUBCOMMAND(synth, "draw a data set: smears of the five classes")
SUBCOMMAND(samples, "a mosaic of typical cells, one row for each class (Fig. 1)")
/* subcommands: nets */
SUBCOMMAND(describe, "print a net's layers, parameters, work and memory")
SUBCOMMAND(bench, "time training, inference and every operator")
/* subcommands: learning */
SUBCOMMAND(train, "train one net: one job with its own run folder")
SUBCOMMAND(predict, "classify images with trained weights")
SUBCOMMAND(folds, "deal a data set into folds and show them")
SUBCOMMAND(features, "draw what a trained net's filters answer to one cell")
SUBCOMMAND(classical, "segment, measure and discriminate: the pipeline before nets")
SUBCOMMAND(frozen, "a trained net's features, a linear classifier")
/* subcommands: results */
SUBCOMMAND(summarise, "score, pool and compare run folders")
SUBCOMMAND(verdict, "hold results against the paper's claims")
SUBCOMMAND(evaluate, "test trained weights on another data set")
SUBCOMMAND(export, "write a trained net as ONNX, for other programs")
/* subcommands: machine */
SUBCOMMAND(doctor, "say what this build and this machine can do")
