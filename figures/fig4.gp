# Fig. 4: training accuracy against the iteration.
what = 'accuracy of the batch (\%)'; seen = 3; mean = 5; first = 5; id = 'fig4/start'; from = 0; to = 102; place = 0.30; steps = ''
load 'figures/training.gp'
