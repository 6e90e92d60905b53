# Fig. 5: training loss against the iteration.
what = 'loss of the batch'; seen = 2; mean = 4; first = 2; id = 'fig5/start'; from = 0; to = 2.4; place = 0.98; steps = 'set yrange [0.1:*]; set logscale y; set ytics ("0.1" 0.1, "1" 1, "10" 10, "100" 100)'
load 'figures/training.gp'
