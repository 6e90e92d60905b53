#!/usr/bin/perl
# slow: wbcsnet bench: what it prints can be read by people and programs. Never how fast: that is no test's business.
use strict;
use warnings;
use Cwd qw(getcwd);
use File::Path qw(make_path);
use File::Spec;
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

my $wbcsnet = $ENV{WBCSNET} || 'build/wbcsnet';
my $small = '--net experiments/nets/wbcsnet2.net --set size=16,f1=8,f2=16,f3=16,fc1=8 --batch 3 --repeat 1';

my $table = `$wbcsnet bench $small --threads 1 2>&1`;
is($?, 0, 'bench exits 0');
like($table, qr/^1 threads, .*sgemm .* GFLOP\/s, memory .* GB\/s$/m, 'the limits of the machine come first');
like($table, qr/^\s+training\s+[\d.]+ images\/s\s+[\d.]+ GFLOP\/s$/m, 'training');
like($table, qr/^\s+inference\s+[\d.]+ images\/s/m, 'inference');
my @rows = grep { /^  (conv|norm|pool|fc|dropout|loss)\S*\s+\S+\s*\|/ } split /\n/, $table;
is(scalar @rows, 16, 'a row for every step of WBCsNet-2');
is(scalar(grep { tr/|// == 3 } @rows), 16, 'every row has the same columns');

my $json = eval { decode_json(scalar `$wbcsnet bench $small --json 2>/dev/null`) };
ok($json, 'the JSON can be read') or diag $@;
is($json->{batch}, 3, 'it names the batch');
ok($json->{nets}[0]{train_images_per_second} > 0, 'images a second');
is(scalar @{ $json->{nets}[0]{steps} }, 16, 'and its steps');
my ($conv) = grep { $_->{output} eq 'conv1b' } @{ $json->{nets}[0]{steps} };
# 16 x 16 outputs of 8 channels, 25 x 8 products of two operations and a bias each, 3 images
is(sprintf('%.6f', $conv->{forward_gflop}), sprintf('%.6f', 0.002463744), 'operations are counted as by hand');
is(sprintf('%.6f', $conv->{backward_gflop}), sprintf('%.6f', 0.004927488), 'and twice as many backward');

# the floor: 64 points of 16 tiles, 8 x 8 channels, 3 images; or x, y and the weights once; backward twice the products
sub most { $_[0] > $_[1] ? $_[0] : $_[1] }
my ($rate, $memory, $tensor) = ($json->{sgemm_gflops} * 1e6, $json->{memory_gbs} * 1e6, 4 * 3 * 16 * 16 * 8);
my $there = most(2 * 64 * 16 * 8 * 8 * 3 / $rate, (2 * $tensor + 4 * 25 * 64) / $memory);
my $back = most(2 * 2 * 64 * 16 * 8 * 8 * 3 / $rate, (3 * $tensor + 2 * 4 * 25 * 64) / $memory);
ok($rate > 0 && abs($conv->{forward_floor_ms} / $there - 1) < 0.05, 'the floor of a transformed convolution') or diag "$conv->{forward_floor_ms} $there";
ok($rate > 0 && abs($conv->{backward_floor_ms} / $back - 1) < 0.05, 'and of its way back') or diag "$conv->{backward_floor_ms} $back";
like($table, qr/^  a training step [\d.]+ ms, of which outside the operators [\d.]+ \(gather and update, floor [\d.]+\); its floor [\d.]+ ms, \d+ % of it; inference \d+ %$/m, 'the whole step and its floor');

my ($one, $two) = map { `$wbcsnet bench $small --estimate $_` } 1e6, 1e9;
like($one, qr/^\d+\.\d\n$/, '--estimate prints a number alone');
ok($two > 20 * $one, 'and more images take longer');

my $same = `$wbcsnet bench $small --vectors '128-bit vectors' --direct 2>&1`;
like($same, qr/^\d+ threads, (128-bit vectors|Neon)/, '--vectors takes a narrower set') if $same !~ /expected Neon/;
# --- a peer that is a script: it answers with seconds of its own, by its settings ---
my $here = getcwd();
my $program = File::Spec->rel2abs($wbcsnet);
my $peer = tempdir(CLEANUP => 1);
make_path("$peer/tools/peer");
sub peer {                                             # what bench prints beside a peer whose answers are these shell words
    my ($answer, $flags) = @_;
    open my $f, '>', "$peer/tools/peer/torch-peer" or die;
    print $f "#!/bin/sh\nn=0\nwhile read line && [ \"\$line\" != end ]; do :; done\necho ready 9.8 Some Device\n"
        . "while read word steps; do n=\$((n + 1)); $answer; done\n";
    close $f, chmod 0755, "$peer/tools/peer/torch-peer";
    chdir $peer;
    my $said = `$program bench ${\($small =~ s|experiments|$here/experiments|r)} --threads 1 --peer $flags 2>&1`;
    chdir $here;
    return $said;
}
# 3 images a step: 1 ms a step of training and half of it to infer, or twice as slow but for one setting
my $fast = 'case $1$2$word in nhwcjemalloctrain) t=1000 ;; nhwcjemallocinfer) t=500 ;; *train) t=2000 ;; *) t=1000 ;; esac; '
    . 't=$((steps * t)); printf "%d.%06d\n" $((t / 1000000)) $((t % 1000000))';
my $turns = peer("[ \$1\$2 != nchwtuned ] || exit; $fast", '');
is($?, 0, 'bench --peer exits 0, passing over a setting that fails');
for (['training', 3000], ['inference', 6000]) {
    my ($kind, $rate) = @$_;
    my ($ours, $theirs, $ratio) = $turns =~ /in turns with PyTorch 9\.8 \(nhwc, jemalloc\), $kind: ours ([\d.]+), PyTorch ([\d.]+) images\/s, median ratio ([\d.]+)/;
    ok(defined $theirs && $theirs == $rate && abs($ratio - $ours / $rate) < 0.006, "$kind beside the peer's fastest setting") or diag $turns;
}
my $told = eval { decode_json(peer($fast, '--json')) };
ok($told && $told->{nets}[0]{peer}{settings} eq 'nhwc, jemalloc' && $told->{nets}[0]{peer}{version} eq '9.8' && $told->{nets}[0]{peer}{theirs}[0] == 3000, 'in JSON too') or diag $@;
my $half = peer("[ \$n -lt 4 ] || exit; $fast", '');
ok($? == 0 && $half =~ /warning: tools\/peer\/torch-peer: PyTorch did not answer/ && $half !~ /in turns|nan/ && $half =~ /^  training /m,
   'a peer that ends halfway: a warning, and our own numbers');

# --- floors by hand: a convolution of 4 x 4 outputs of 8 channels over 2, 3 x 3, and batches of 3 ---
open my $net, '>', "$peer/one.net" or die;
print $net "name one\ninput 4 4 2\nconv conv1 filters 8 kernel 3 stride 1 pad same\nfc fc1 units classes\nsoftmax loss\n";
close $net;
my $floor = `$wbcsnet bench --floor --net $peer/one.net --batch 3 --ceilings fp32=0.001,memory=0.001 2>&1`;
# 3 * 16 * 8 * (2 * 9 * 2 + 1) = 14208 operations, of which the bias has no part backward, at 1e9 a second; bytes: 4 * (96 + 384 + 144) = 2496
like($floor, qr/^  conv +conv1 *\| +0\.00 +0\.0 +14\.2 \|/m, 'the floor of a convolution is its operations') or diag $floor;
# relu-free loss: 15 numbers in, 15 out: 120 bytes at 1e9 a second
like($floor, qr/^  loss +loss *\| +0\.00 +0\.0 +0\.1 \|/m, 'that of the loss its bytes');
for (['memory=1', 'no unit'], ['fp32=1', 'no memory'], ['fp32=x,memory=1', 'no number'], ['fp32=0,memory=1', 'a rate of nothing'], ['memory', 'no rate']) {
    `$wbcsnet bench --floor --ceilings $_->[0] 2>&1`;
    is($? >> 8, 2, "--ceilings with $_->[1] is a usage error");
}

my $bad = `$wbcsnet bench --vectors none 2>&1`;
is($? >> 8, 2, 'an unknown set is a usage error');
like($bad, qr/found 'none'; expected/, 'that names what there is');
for my $flag ('--vectors AVX2', '--direct') {
    my $no = `$wbcsnet bench $small --device ref $flag 2>&1`;
    ok($? >> 8 == 2 && $no =~ /found --device ref; expected an engine that has the choice/, "$flag is an error for an engine without the choice") or diag $no;
}
my $plain = eval { decode_json(scalar `$wbcsnet bench $small --device ref --json 2>/dev/null`) };
ok($plain && exists $plain->{vectors} && !defined $plain->{vectors} && $json->{vectors}, 'JSON names vectors only where there are any') or diag $@;
`$wbcsnet bench --batch 0 2>&1`;
is($? >> 8, 2, 'so is a batch of none');
done_testing();
