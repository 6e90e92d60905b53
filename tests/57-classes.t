#!/usr/bin/perl
# Other than five classes, from training to the verdict: twenty of them, two of one beginning, two; and seeds that a double cannot hold.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;

write_file(tmp('tiny.net'), "name tiny\ninput 8 8 3\nconv conv1 filters 4 kernel 3 stride 1 pad same\nrelu relu1\nfc fc1 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 8\nepochs 3\n");
my @five = @Job::class;
my @seed = (9007199254740992, 9007199254740993);     # 2^53 and the next: one number in a double
my @twenty = ('lymphocyte', 'lymphoblast', 'lym', 'band', 'b', map { "kind$_" } 'a' .. 'o');

sub all_runs {
    my ($set, $arm, $seeds) = @_;
    my @run;
    for my $seed (@$seeds) {
        for my $fold (0, 1) {
            my ($code, $out, $err) = run(job(data => $set, folds => 2, fold => $fold, seed => $seed, out => "cv/$arm/seed$seed/fold$fold", quiet => 1));
            ok($code == 0, "$arm learns, seed $seed, fold $fold") or print "# $err\n";
            push @run, tmp("cv/$arm/seed$seed/fold$fold");
        }
    }
    return @run;
}
sub keys_of { my %n; $n{$1}++ while $_[0] =~ /$_[1]/g; return \%n }

{
    local @Job::class = @twenty;
    make_set(tmp('twenty'), 8, [map { 4 + $_ % 3 } 0 .. 19]);
    my @run = all_runs(tmp('twenty'), 'tiny', \@seed);
    my ($code, $out, $err) = run('summarise', '--out', tmp('res'), '--experiment', 'cv', @run);
    ok($code == 0, 'runs of 20 classes are summarised') or print "# $err\n";
    my ($json, $tex) = (read_file(tmp('res/results.json')), read_file(tmp('res/results.tex')));
    for my $k (keys_of($json, qr/^\s*"([^"]+)": \{/m), keys_of($tex, qr/^\\result\{([^}]+)\}/m)) {
        my @twice = grep { $k->{$_} > 1 } sort keys %$k;
        ok(%$k > 400 && !@twice, 'each of ' . keys(%$k) . ' keys is there once') or print "# @twice[0 .. ($#twice < 5 ? $#twice : 5)]\n";
    }
    # cells of each class, by its own name in the keys
    my %cells = map { $_ => $json =~ m{"cv/tiny/cells/$_": \{"value": (\d+)} ? $1 : 'none' } qw(Lymphoc Lymphob Lym Ban B Kinda Kindo);
    ok("@cells{qw(Lymphoc Lymphob Lym Ban B Kinda Kindo)}" eq '4 5 6 4 5 6 5', 'classes of one beginning have more letters') or print '# ', join(' ', %cells), "\n";
    ok($json =~ m{"cv/tiny/seeds": \{"value": 2,} && $json =~ m{"cv/tiny/cells": \{"value": 99,}, 'two seeds above 2^53 are two: each cell is held out once by each');
    my $w = tmp("cv/tiny/seed$seed[0]/fold0/weights.safetensors");
    ($code, $out, $err) = run('predict', '--weights', $w, '--csv', tmp('twenty/lym'));
    ok($code == 0 && $out =~ /^file,predicted,\Q${\join(',', @twenty)}\E\n/ && split(/\n/, $out) == 7, 'predict names all 20') or print "# $err\n";
    ($code, $out, $err) = run('features', '--weights', $w, '--data', tmp('twenty'), '--class', 'lymphoblast', '--out', tmp('f'));
    ok($code == 0 && json_value(tmp('f/features.json'), 'cell') =~ /^"lymphoblast/, 'features of one of 20 classes') or print "# $err\n";
    ($code, $out, $err) = run('folds', '--folds', 2, tmp('twenty'));
    ok($code == 0 && $out =~ /lymphoblast/, 'folds of 20 classes') or print "# $err\n";
}
{
    local @Job::class = ('ill', 'well');
    make_set(tmp('two'), 8, [7, 9]);
    my @run = all_runs(tmp('two'), 'tiny2', [1]);
    my ($code, $out, $err) = run('summarise', '--out', tmp('res2'), '--experiment', 'cv', @run);
    my $json = read_file(tmp('res2/results.json'));
    ok($code == 0 && $json =~ m{"cv/tiny2/cells/Ill": \{"value": 7,} && $json =~ m{"cv/tiny2/cells/Wel": \{"value": 9,}, 'two classes are summarised') or print "# $err\n";
}
{
    local @Job::class = map { "kind$_" } 1 .. 65;
    make_set(tmp('many'), 8, [(1) x 65]);
    my ($code, $out, $err) = run(job(data => tmp('many'), folds => 2, out => 'many-run'));
    ok($code == 3 && $err =~ /many\/dataset\.json: found too many classes; expected at most 64/, 'more classes than can be counted are refused before training');
    local @Job::class = ('lymphocyte', 'Lymphocyte');
    make_set(tmp('twice'), 8, [3, 3]);
    ($code, $out, $err) = run(job(data => tmp('twice'), folds => 2, out => 'twice-run'));
    ok($code == 3 && $err =~ /the class 'Lymphocyte' twice/, 'one class under two names is refused');
}
done_testing();
