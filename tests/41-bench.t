#!/usr/bin/perl
# wbcsnet bench: what it prints can be read by people and programs. Never how fast: that is no test's business.
use strict;
use warnings;
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

my ($one, $two) = map { `$wbcsnet bench $small --estimate $_` } 1e6, 1e9;
like($one, qr/^\d+\.\d\n$/, '--estimate prints a number alone');
ok($two > 20 * $one, 'and more images take longer');

my $same = `$wbcsnet bench $small --vectors '128-bit vectors' --direct 2>&1`;
like($same, qr/^\d+ threads, (128-bit vectors|Neon)/, '--vectors takes a narrower set') if $same !~ /expected Neon/;
my $bad = `$wbcsnet bench --vectors none 2>&1`;
is($? >> 8, 2, 'an unknown set is a usage error');
like($bad, qr/found 'none'; expected/, 'that names what there is');
`$wbcsnet bench --batch 0 2>&1`;
is($? >> 8, 2, 'so is a batch of none');
done_testing();
