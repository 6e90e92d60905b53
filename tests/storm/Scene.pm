package Scene;    # what the storm plays: inputs, the commands that are disturbed, the files that are damaged and who reads them
use strict; use warnings;
use Cwd 'abs_path';
use FindBin;
use lib "$FindBin::Bin/..", "$FindBin::Bin";
use Run;

our $root = abs_path("$FindBin::Bin/../..");
my @net = qw(--net in/tiny.net --recipe in/tiny.conf --folds 2 --threads 1);
my @train = ('train', '--data', 'in/d', @net, '--fold', 0);
my @runs = map { my $arm = $_; map { "runs/$arm/seed1/fold$_" } 0, 1 } 'a', 'b';
my @again = ('train', '--data', 'in/d', @net, '--fold', 0, '--out', 'runs/a/seed1/fold0');
my @judge = qw(verdict --published in/published.csv --claims in/claims.csv --scale full --out out);

# NAME: the command; what stands in `out` before it; anew: the file that says that the others are whole, which is removed first and written last.
our %scene = (
    train     => { run => [@train, '--checkpoint', 0, '--out', 'out'] },
    resume    => { run => [@train, '--checkpoint', 0, '--out', 'out'], before => 'mid' },
    import    => { run => [qw(import --size 16 in/src out)] },
    replace   => { run => [qw(import --replace --size 16 in/src out)], before => 'oldset' },
    synth     => { run => ['synth', '--counts', '2,1,1,1,1', qw( --size 16 out)] },
    samples   => { run => [qw(samples in/d --out out.png)] },
    data      => { run => [qw(data in/d)] },
    folds     => { run => [qw(folds in/d --folds 2 --out out.csv)] },
    describe  => { run => [qw(describe in/tiny.net)] },
    predict   => { run => [qw(predict --weights in/w.safetensors --csv --explain out in/few)] },
    features  => { run => [qw(features --weights in/w.safetensors --data in/d --out out)] },
    classical => { run => [qw(classical --data in/d --folds 2 --out out/seed1)] },
    frozen    => { run => [qw(frozen --weights in/w.safetensors --data in/d --folds 2 --out out/seed1)] },
    evaluate  => { run => [qw(evaluate --weights in/w.safetensors --data in/other --out out)] },
    summarise => { run => [qw(summarise --experiment x --out out), map { "in/$_" } @runs], before => 'oldsum', anew => qr{/results\.json$} },
    verdict   => { run => [@judge, 'in/sum/results.json'], before => 'oldverdict', anew => qr{/verdict\.tex$} },
);

# FILE that is damaged: what is copied (from => to), and who reads it (name => command). unsummed: nothing tells its bits from others, so a reader may make
# something else of them, but ends well; unread: nobody needs it any more, so it may stay as it is.
my %reads_set = (data => [qw(data d)], train => ['train', '--data', 'd', @net, '--fold', 0, '--out', 'out'], folds => [qw(folds d --folds 2 --out out)]);
my %reads_run = (summarise => ['summarise', '--experiment', 'x', '--out', 'out', @runs]);
my %reads_own_run = (again => \@again);
our %damage = (
    'checkpoint.safetensors' => { copy => { mid => 'out' }, file => 'out/checkpoint.safetensors', readers => { resume => $scene{resume}{run} } },
    'config.json-midway'     => { copy => { mid => 'out' }, file => 'out/config.json', readers => { resume => $scene{resume}{run} } },
    'log.csv-midway'         => { copy => { mid => 'out' }, file => 'out/log.csv', readers => { resume => $scene{resume}{run} } },
    'weights.safetensors'    => { copy => { 'w.safetensors' => 'w' }, file => 'w', readers => {
        predict => [qw(predict --weights w --csv in/few)], init => [@train, '--init', 'w', '--out', 'out'],
        features => [qw(features --weights w --data in/d --out out)], frozen => [qw(frozen --weights w --data in/d --folds 2 --out out/seed1)],
        evaluate => [qw(evaluate --weights w --data in/other --out out)] } },
    'cell.tif'     => { copy => { d => 'd' }, file => 'd/neutrophil/neu_00001.tif', readers => \%reads_set },
    'image.tif'    => { copy => { few => 'few' }, file => 'few/neu_00001.tif', unsummed => 1, readers => { predict => [qw(predict --weights in/w.safetensors --csv few)] } },
    'results.json' => { copy => { sum => 'sum' }, file => 'sum/results.json', readers => { verdict => [@judge, 'sum/results.json'] } },
    (map { $_ => { copy => { d => 'd' }, file => "d/$_", readers => \%reads_set } } 'dataset.json', 'labels.csv'),
    'config.json' => { copy => { runs => 'runs' }, file => 'runs/a/seed1/fold0/config.json', unread => 1, readers => { %reads_run, %reads_own_run } },
    (map { $_ => { copy => { runs => 'runs' }, file => "runs/a/seed1/fold0/$_", readers => { %reads_run, %reads_own_run } } }
        'run.json', 'log.csv', 'predictions.csv', 'folds.csv'),
    'weights.safetensors-done' => { copy => { runs => 'runs' }, file => 'runs/a/seed1/fold0/weights.safetensors', readers => \%reads_own_run },
);

# Where a reader's results lie, among the files of its folder.
sub results_of { my ($reader) = @_; $reader eq 'again' ? qr{^runs/a/seed1/fold0/} : qr{^out} }

sub must {
    my ($cwd, @args) = @_;
    my $r = Run::program($cwd, \@args);
    die "storm: wbcsnet @args: exit $r->{code}\n$r->{err}" if $r->{code};
}

# The inputs of every scene, in $in; they are kept while the program stays the same.
sub prepare {
    my ($in) = @_;
    return if -e "$in/made" && -M "$in/made" < -M $Run::program;
    system('rm', '-rf', $in);
    mkdir $in; mkdir "$in/$_" for 'few', 'src'; symlink '.', "$in/in";
    Run::write_file("$in/tiny.net", "name tiny\ntitle Tiny\nparam f 4\ninput 14 14 3\nconv conv1 filters \$f kernel 5 stride 1 pad same\nbn bn1\nrelu relu1\n"
        . "maxpool pool1 size 2 stride 2\nconv conv2 filters 8 kernel 3 stride 1 pad same\nrelu relu2\nfc fc1 units 16\ndropout drop1 p 0.5\nfc fc2 units classes\nsoftmax loss\n");
    Run::write_file("$in/tiny.conf", "batch 8\nepochs 3\nshuffle epoch\naugment turns\nbn_statistics moving\n");
    system('cp', "$root/experiments/published.csv", "$root/experiments/claims.csv", $in);
    my @draw = ('synth', '--counts', '6,4,4,4,4', '--size', 24);
    must($in, @draw, 'd');
    must($in, @draw, '--seed', 5, 'other');
    must($in, qw(import --size 16 other oldset));
    for my $class (qw(neutrophil eosinophil basophil lymphocyte monocyte)) {
        mkdir "$in/src/$class";
        system('cp', (sort glob "$in/d/$class/*.tif")[0, 1], "$in/src/$class");
    }
    system('cp', "$in/d/neutrophil/neu_00001.tif", "$in/d/monocyte/mon_00001.tif", "$in/few");
    prepare_runs($in);
    Run::write_file("$in/made", '');
}

sub prepare_runs {
    my ($in) = @_;
    for my $fold (0, 1) {
        must($in, 'train', '--data', 'in/d', @net, '--fold', $fold, '--quiet', '--out', "runs/a/seed1/fold$fold");
        must($in, 'train', '--data', 'in/d', @net, '--fold', $fold, '--with', 'learning_rate=0.01', '--quiet', '--out', "runs/b/seed1/fold$fold");
    }
    system('cp', "$in/runs/b/seed1/fold0/weights.safetensors", "$in/w.safetensors");
    must($in, qw(summarise --experiment cv --out sum), @runs);
    must($in, qw(summarise --experiment x --out oldsum), @runs[2, 3]);
    must($in, @judge[0 .. $#judge - 1], 'oldverdict', 'oldsum/results.json');
    # a run that stands in the middle: its second checkpoint's log cannot be written
    for my $n (4, 6, 5, 3) {
        last if -e "$in/mid/checkpoint.safetensors";
        system('rm', '-rf', "$in/mid");
        Run::program($in, [@train, '--checkpoint', 0, '--out', 'mid'], fault => "fsync:$n:5");
    }
}
1;
