#!/usr/bin/perl
# export --onnx: the file is read field by field here, and, where ONNX Runtime is (PYTHON=python of a virtual environment, as for bench --peer), its
# answers are held against ours: every kind of layer, every net of experiments/nets.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job; use JSON::PP;

my ($code, $out, $err);
my $rows = make_set(tmp('set'), 24, [6, 5, 4, 5, 5]);
write_file(tmp('tiny.conf'), "batch 8\nepochs 1\nlearning_rate 0.0001\ninit glorot\n");
my $python = $ENV{PYTHON} // 'python3';
my $runtime = system("$python -c 'import onnxruntime, numpy' 2>/dev/null") == 0;
write_file(tmp('ask.py'), <<'PY');
import sys, struct, json
import numpy as np
import onnxruntime as ort
model, h, w, c = sys.argv[1], *map(int, sys.argv[2:5])
session = ort.InferenceSession(model, providers=['CPUExecutionProvider'])
x = np.fromfile(sys.argv[5], dtype=np.uint8).reshape(-1, h, w, c).astype(np.float32)
print(json.dumps(json.loads(session.get_modelmeta().custom_metadata_map['classes'])))
for row in session.run(['probabilities'], {'image': x})[0]: print(' '.join('%.9g' % p for p in row))
PY

# The fields of a message: [number, content], numbers and bytes.
sub fields {
    my ($b) = @_;
    my ($at, @field) = (0);
    my $whole = sub { my ($v, $s) = (0, 0); while (1) { my $c = ord substr $b, $at++, 1; $v |= ($c & 127) << $s; $s += 7; return $v if $c < 128; die 'cut short' if $at > length $b } };
    while ($at < length $b) {
        my $tag = $whole->();
        if (($tag & 7) == 0) { push @field, [$tag >> 3, $whole->()] }
        elsif (($tag & 7) == 2) { my $n = $whole->(); die 'cut short' if $at + $n > length $b; push @field, [$tag >> 3, substr $b, $at, $n]; $at += $n }
        elsif (($tag & 7) == 5) { push @field, [$tag >> 3, substr $b, $at, 4]; $at += 4 }
        else { die "field $tag" }
    }
    return @field;
}
sub all_of { my ($n, @f) = @_; map { $_->[1] } grep { $_->[0] == $n } @f }

sub trained {
    my ($name, $net, $set) = @_;
    ($code, $out, $err) = run(job(out => $name, quiet => 1, device => 'cpu', net => $net, set => $set, folds => undef, fold => 'all', 'keep-going' => 1, with => $name =~ /vgg/ ? 'init=he' : undef));
    print "# $err" if $code;
    return tmp("$name/weights.safetensors");
}
# Exports weights and compares every cell's probabilities; returns the worst difference, or undef without ONNX Runtime.
sub compared {
    my ($name, $w, $h, $width, $c, @more) = @_;           # more: pixels of further cells
    ($code, $out, $err) = run('export', '--weights', $w, '--onnx', tmp("$name.onnx"));
    return "exit $code $err" if $code || !-s tmp("$name.onnx");
    return undef unless $runtime;
    # cells as the program itself brings them to the net's size
    run('import', '--csv', tmp('set/labels.csv'), '--size', $h, '--replace', tmp('set'), tmp("sized$h"));
    my @files = map { tmp("sized$h/$_->[0]") } log_rows(tmp("sized$h/labels.csv"));
    my $pixels = '';
    for (@files) { $pixels .= substr read_file($_), 180, 3 * $h * $width }    # behind the frame of our TIFF
    for (0 .. $#more) { push @files, tmp("more$_.tif"); write_file($files[-1], Job::tiff($width, $h, $more[$_])); $pixels .= $more[$_] }
    if ($c == 1) { my @p = unpack 'C*', $pixels; $pixels = join '', map { chr int((299 * $p[3 * $_] + 587 * $p[3 * $_ + 1] + 114 * $p[3 * $_ + 2] + 500) / 1000) } 0 .. $#p / 3 }
    write_file(tmp('pixels'), $pixels);
    my ($first, @theirs) = split /\n/, qx($python @{[map { "'$_'" } tmp('ask.py'), tmp("$name.onnx"), $h, $width, $c, tmp('pixels')]});
    ($code, $out, $err) = run('predict', '--device', 'ref', '--csv', '--weights', $w, @files);
    my ($head, @ours) = split /\n/, $out;
    return 'the classes differ' unless join(',', @{decode_json($first // '[]')}) eq $head =~ s/^file,predicted,//r;
    return 'rows ' . @theirs . ' and ' . @ours unless @theirs == @ours;
    my ($worst, %seen) = (0);
    $seen{join ' ', map { sprintf '%.2f', $_ } (split /,/)[2 .. 6]}++ for @ours;
    return 'every cell has the same probabilities: nothing was compared' if keys %seen < 3;
    for my $i (0 .. $#ours) { my @p = (split /,/, $ours[$i])[2 .. 6]; my @q = split / /, $theirs[$i]; for (0 .. 4) { my $d = abs($p[$_] - $q[$_]); $worst = $d if $d > $worst } }
    return $worst;
}
sub agrees {
    my ($what, @rest) = @_;
    my $d = compared(@rest);
    if (!defined $d) { ok(1, "$what: exported"); skip(1, "$what: no onnxruntime for $python (python3 -m venv V; V/bin/pip install onnxruntime; PYTHON=V/bin/python)") }
    else { ok($d =~ /^[\d.e+-]+$/ && $d <= 1e-5, "$what: ONNX Runtime gives our probabilities (worst difference $d)"); ok(1, "$what: exported") }
}

# ---- the file itself ----
write_file(tmp('all.net'), <<'NET');
name all
title All kinds of layers
input 24 24 3
scale unit by 0.02
conv c1 filters 8 kernel 3 stride 1 pad same
bn b1
relu r1
conv c2 filters 8 kernel 5 pad same groups 2 bias no
groupnorm g2 groups 4
add a1 with r1
lrn l1 size 3 alpha 0.4 beta 0.75 k 1.5
maxpool p1 size 3 stride 2 pad same
conv c3 filters 6 kernel 2 stride 2 pad 1
tanh t1 amplitude 1.7159 slope 0.66667
avgpool p2 size 3 stride 2 pad same
fc f1 units 12
relu r2
dropout d1 p 0.5
fc f2 units 12
add a2 with r2
bn b3
fc f3 units classes
softmax loss
NET
my $w = trained('all', tmp('all.net'));
agrees('every kind of layer', 'all', $w, 24, 24, 3);
my @model = eval { fields(read_file(tmp('all.onnx'))) };
ok(@model && (all_of(1, @model))[0] == 7 && (all_of(2, fields((all_of(8, @model))[0])))[0] == 13, 'IR version 7, operators of version 13') or print "# $@\n";
my @graph = fields((all_of(7, @model))[0]);
my %op; $op{(all_of(4, fields($_)))[0]}++ for all_of(1, @graph);
ok(join(' ', map { "$_ $op{$_}" } sort keys %op) =~ /^Add 3 AveragePool 1 BatchNormalization 2 Conv 3 Flatten 2 Gemm 3 InstanceNormalization 1 LRN 1 MaxPool 1 Mul 4 Relu 2 Reshape 3 Softmax 1 Sub 1 Tanh 1 Transpose 3$/,
   'the operators: ' . join ' ', map { "$_ $op{$_}" } sort keys %op);
my %made = (image => 1, map { ((all_of(8, fields($_)))[0] => 1) } all_of(5, @graph));
my $unknown = 0;
for (all_of(1, @graph)) { my @n = fields($_); $unknown += grep { !$made{$_} } all_of(1, @n); $made{$_}++ and $unknown++ for all_of(2, @n) }
ok(!$unknown && $made{probabilities}, 'each node reads what was made before it, and makes something new');
my %note = map { my @f = fields($_); ((all_of(1, @f))[0] => (all_of(2, @f))[0]) } all_of(14, @model);
ok("@{decode_json($note{classes})}" eq "@Job::class" && $note{weights_sha256} eq sha($w), 'the notes name the classes and the weights');
my ($mean) = grep { (all_of(8, fields($_)))[0] eq 'input.mean' } all_of(5, @graph);
ok(join(',', all_of(1, fields($mean))) eq '24,24,3' && (all_of(9, fields($mean)))[0] eq pack('f<*', @{weights($w)->{'input.mean'}}), 'the mean image is in it');
my ($kernel) = map { my @f = fields($_); (all_of(8, @f))[0] eq 'c1.weight' ? [unpack 'f<*', (all_of(9, @f))[0]] : () } all_of(5, @graph);
my $ours = weights($w)->{'c1.weight'};
ok($kernel->[(2 * 3 + 1) * 9 + 5] == $ours->[(2 * 9 + 5) * 3 + 1], 'kernels stand channel by channel');

# ---- matched colours: the same steps in front of the net, of each picture by itself ----
write_file(tmp('tiny.conf'), "batch 8\nepochs 1\nlearning_rate 0.0001\ninit glorot\nstain cell\n");
my $stained = trained('stain', tmp('all.net'));
agrees('a net that counts on matched colours', 'stain', $stained, 24, 24, 3, "\x90\x60\xa0" x 576, "\0\0\0" x 576, join '', map { chr($_ * 7919 % 256 * ($_ % 5 > 0)) } 1 .. 1728);
my %stain_op; $stain_op{(all_of(4, fields($_)))[0]}++ for all_of(1, fields((all_of(7, fields(read_file(tmp('stain.onnx')))))[0]));
ok($stain_op{Log} && $stain_op{Exp} && $stain_op{Floor} && !$op{Log}, 'its graph matches them, and the other does not');
write_file(tmp('tiny.conf'), "batch 8\nepochs 1\nlearning_rate 0.0001\ninit glorot\n");

# ---- other inputs ----
write_file(tmp('grey.net'), "name g\ntitle Grey\ninput 24 24 1\nconv c filters 4 kernel 3\nbn b\nrelu r\navgpool p size global\nfc f units classes\nsoftmax s\n");
agrees('a net that sees grey', 'grey', trained('grey', tmp('grey.net')), 24, 24, 1);
write_file(tmp('bare.net'), "name b\ntitle Bare\ninput 24 24 3\nfc f units 7\nrelu r\nfc g units classes\nsoftmax s\n");
write_file(tmp('tiny.conf'), "batch 8\nepochs 1\nlearning_rate 0.000001\nnormalise none\ninit_std 0.002\n");
agrees('a net without convolutions and mean', 'bare', trained('bare', tmp('bare.net')), 24, 24, 3);
write_file(tmp('tiny.conf'), "batch 8\nepochs 1\nlearning_rate 0.0001\ninit glorot\n");

# ---- the nets of experiments/nets, small ----
my %small = (wbcsnet => 'size=24,f1=4,f2=6,f3=8,fc1=10', wbcsnet2 => 'size=24,f1=4,f2=6,f3=8,fc1=10', family => 'size=24,f1=4,f2=6,f3=8,fc1=10', lenet5 => 'f1=2,f2=3,fc1=7,fc2=6', 'lenet5-colour' => 'size=24,f1=2,f2=3,fc1=7,fc2=6',
    'alexnet-70' => 'size=40,f1=4,f2=4,f3=6,f4=6,f5=4,fc=7', alexnet => 'f1=4,f2=4,f3=6,f4=6,f5=4,fc=7', 'alexnet-one' => 'size=70,f1=4,f2=4,f3=6,f4=6,f5=4,fc=7', vgg16 => 'size=35,f1=4,f2=4,f3=4,f4=4,f5=4,fc=8', resnet18 => 'size=36,f1=4,f2=4,f3=4,f4=6');
for my $file (sort glob "$FindBin::Bin/../experiments/nets/*.net") {
    my ($net) = $file =~ m{([^/]+)\.net$};
    my $set = $small{$net} // ($net =~ /^wbcsnet2/ ? $small{wbcsnet2} : undef);
    my $wide = read_file($file);
    my %has = map { $_ => 1 } $wide =~ /^param\s+(\w+)/mg;
    $set = join ',', grep { /^(\w+)=/ && $has{$1} } split /,/, $set // '';
    my $weights = trained("net-$net", $file, $set || undef);
    my ($h, $width, $c) = do { my ($j) = run('describe', '--json', $file, $set ? ('--set', $set) : ()); read_file(tmp('stdout')) =~ /"input".*?"out"\D+(\d+)\D+(\d+)\D+(\d+)/s };
    agrees($net, "net-$net", $weights, $h, $width, $c);
}

# ---- what is refused ----
($code, $out, $err) = run('export', '--weights', $w);
ok($code == 2 && $err =~ /--onnx/, 'no file to write: exit 2');
($code, $out, $err) = run('export', '--weights', tmp('set/labels.csv'), '--onnx', tmp('x.onnx'));
ok($code == 3 && !-e tmp('x.onnx'), 'no weights: exit 3, and nothing is written');
done_testing();
