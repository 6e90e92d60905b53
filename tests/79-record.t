#!/usr/bin/perl
# slow: what the README says of the record is what its committed runs give; a fuller record, made up here, is told as well; make paper RUNS= of either.
use strict;
use warnings;
use Cwd 'getcwd';
use File::Path 'make_path';
use File::Temp 'tempdir';
use JSON::PP;

my $n = 0;
sub ok($$;$) { my ($good, $what) = @_; $n++; print $good ? '' : 'not ', "ok $n - $what\n"; return $good }
sub slurp { my ($path) = @_; open my $f, '<', $path or return ''; local $/; return scalar(<$f>) // '' }
sub spill { my ($path, $text) = @_; open my $f, '>', $path or die "$path: $!"; print $f $text; close $f }
sub sh { my $said = qx(@_ 2>&1); return ($? >> 8, $said) }
my $top = getcwd;
my $program = $ENV{WBCSNET} // 'build/wbcsnet';
my $bin = $program =~ m{^/} ? $program : "$top/$program";
my $tmp = tempdir(CLEANUP => 1);
my $full = 'experiments/records/full';
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES RUNS SCALE DEVICE RECORD)};

my ($code, $said) = sh("PROGRAM='$bin' $full/report --check");
ok($code == 0, "README.md, the record's page and its chart are what the committed runs give") or print $said =~ s/^/# /gmr;

# One count: README's sentence is that of the record's page, whose rows are counted here; every row has a verdict, and all that is decided stands first.
my $front = slurp('README.md');
my @words = ('reproduced', 'not reproduced', 'undecided', 'waiting for runs', 'not comparable');
my $a_word = join '|', map { quotemeta } @words;
my ($block) = $front =~ /<!-- record: from here(.*?)<!-- record: end -->/s;
my @rows = grep { !/^\| claim \|/ } $block =~ /^(\| .* \|)$/mg;
my @all = slurp("$full/README.md") =~ /^(\| .* \| [^|]* \| [^|]* \| (?:\*\*)?(?:$a_word)(?:\*\*)?: [^|]+ \|)$/mg;
ok(@rows > 4 && !(grep { !/\| (?:\*\*)?(?:$a_word)(?:\*\*)?: [^|]+ \|$/ } @rows), 'each row of the first screen has a verdict of the known words, and why');
my %count = map { my $word = $_; ($_ => scalar grep { /\| (?:\*\*)?\Q$word\E(?:\*\*)?: [^|]+ \|$/ } @all) } @words;
my ($tally) = $block =~ /^(Of the paper's \d+ claims: .*? not comparable \d+)\./m;
my $said_count = ($tally // '') =~ s/^.*?: //r =~ s/ \([^)]*\)//gr;
my $counted_here = join ', ', map { "$_ $count{$_}" } @words;
ok($said_count eq $counted_here && $tally =~ /^Of the paper's @{[scalar @all]} claims/, "its sentence counts the record's rows ($counted_here)") or print "# $said_count\n";
my $without = grep { /counted without a run/ } @all;
ok($count{reproduced} == 0 || $without == 0 || $tally =~ /reproduced \d+ \((?:$without )?counted without a run\)/, 'what needed no run is told');
my %row = map { $_ => 1 } @rows;
ok(!(grep { /\*\*/ && !$row{$_} } @all), 'every claim that is decided is on the first screen');
my @held = qx(tar tzf $full/runs.tar.gz);
ok((grep { m{^wbcsnet-runs/environment\.txt$} } @held) && (grep { m{^wbcsnet-runs/ro-crate-metadata\.json$} } @held), "the record's archive has its environment and its RO-Crate");
my $environment = qx(tar xzOf $full/runs.tar.gz wbcsnet-runs/environment.txt);
ok($environment =~ /^build +compiler +\S/m && $environment =~ /^system +C library +\S/m && $environment =~ /^machine +processor +\S/m, 'which names compiler, C library and processor');

# A checkout to change.
system("mkdir '$tmp/x' && cp -R README.md Makefile DATA.md src.nw book experiments figures generated paper tools '$tmp/x'") == 0 or die;
sub report { my @words = @_; return sh("cd '$tmp/x' && PROGRAM='$bin' $full/report @words") }
my $readme = slurp("$tmp/x/README.md");
my ($first) = $readme =~ /WBCsNet-2's accuracy on Dataset1 \| 96\.8 \| (\S+)/;
ok(defined $first, "the first screen has WBCsNet-2's accuracy");
ok(index(substr($readme, 0, index($readme, "\n## ")), "($full/fig6.svg)") > 0, 'and Fig. 6 as a picture, before the first heading');
spill("$tmp/x/README.md", $readme =~ s/\| 96\.8 \| \Q$first\E/| 96.8 | 12.34/r);
($code, $said) = report('--check');
ok($code == 1 && $said =~ /^README\.md: not what the runs/m, 'a number that was changed is seen');
my $svg = slurp("$tmp/x/$full/fig6.svg");
spill("$tmp/x/$full/fig6.svg", $svg =~ s/(wbcsnet2 )\S+/${1}12.34/r);
($code, $said) = report('--check');
ok($code == 1 && $said =~ /^\Q$full\E\/fig6\.svg: not what/m, 'so is an old chart');
spill("$tmp/x/$full/fig6.svg", $svg);
spill("$tmp/x/README.md", $readme =~ s/<!-- record: end -->//r);
($code, $said) = report();
ok($code == 3 && $said =~ /found no block in README\.md; expected the lines.*\n  hint: /, 'without its marks the README is left alone') or print "# $code $said";
spill("$tmp/x/README.md", $readme);
($code, $said) = report('/nowhere.tar.gz');
ok($code == 3 && $said =~ /found no file \/nowhere\.tar\.gz; expected an archive/, 'no archive: one message');

# A record with all ten folds of both nets: the fold that is there, said of all cells by the folds' own table; every 40th cell (30th) is wrong.
system("mkdir '$tmp/a' && gzip -dc $full/runs.tar.gz | tar xf - -C '$tmp/a'") == 0 or die;
sub make_up {
    my ($net, $every) = @_;
    my $from = "$tmp/a/wbcsnet-runs/1/cv/$net/seed1/fold0";
    my ($head, @cells) = split /\n/, slurp("$from/folds.csv");
    my @class = (split /,/, (split /\n/, slurp("$from/predictions.csv"))[0])[3 .. 7];
    my %json = (text => slurp("$from/run.json"));
    for my $fold (0 .. 9) {
        my $to = $from =~ s/fold0$/fold$fold/r;
        if (!-e $to) { make_path($to); system("cp '$from/command' '$from/log.csv' '$from/folds.csv' '$from/config.json' '$to'") == 0 or die }
        my ($all, $right, $rows) = (0, 0, join(',', qw(file class predicted), @class) . "\n");
        for my $i (0 .. $#cells) {
            my ($file, $class, undef, $in) = split /,/, $cells[$i];
            next unless $in == $fold;
            my $said = $i % $every ? $class : $class[$class eq $class[0] ? 1 : 0];
            $all++, $right += $said eq $class;
            $rows .= join(',', $file, $class, $said, map { $_ eq $said ? 0.96 : 0.01 } @class) . "\n";
        }
        spill("$to/predictions.csv", $rows);
        spill("$to/run.json", $json{text} =~ s/"fold": \d+/"fold": $fold/r =~ s/"correct": \d+/"correct": $right/r =~ s/"test_cells": \d+/"test_cells": $all/r);
    }
    return scalar @cells;
}
my $cells = make_up('wbcsnet2', 40);
make_up('wbcsnet', 30);
my $runs = () = qx(cd '$tmp/a' && find . -name run.json) =~ /\n/g;
my $manifest = slurp("$tmp/a/wbcsnet-runs/manifest");
my ($all) = $manifest =~ /^jobs \d+ of (\d+)$/m;
spill("$tmp/a/wbcsnet-runs/manifest", $manifest =~ s/^jobs .*/jobs $runs of $all/mr);
system("cd '$tmp/a' && find wbcsnet-runs -type f | tar czf '$tmp/ten.tar.gz' -T -") == 0 or die;
($code, $said) = report("$tmp/ten.tar.gz");
ok($code == 0 && $said =~ /^\Q$full\E\/runs\.tar\.gz: $runs of $all runs; .* renewed$/m, 'a fuller archive is taken in') or print "# $code $said";
system('cmp', '-s', "$tmp/ten.tar.gz", "$tmp/x/$full/runs.tar.gz") == 0 or $code = 1;
ok($code == 0, 'in place of the old one');
my $new = slurp("$tmp/x/README.md");
my $right = $cells - int(($cells + 39) / 40);
my $share = sprintf '%.2f', 100 * $right / $cells;
ok($new =~ /WBCsNet-2's accuracy on Dataset1 \| 96\.8 \| \Q$share\E \([\d.]+ to [\d.]+\) \| \*\*(?:not )?reproduced\*\*: published value/, "and its ten folds have a verdict ($share % of $cells)");
ok($new !~ /folds so far/ && $new =~ /^$runs of $all|\b$runs of $all runs are finished/m, 'no fold is missing, and the runs are counted anew');
my $page = slurp("$tmp/x/$full/README.md");
ok($page =~ /^\| 10 \| \d+ of \d+ \| \d+ of \d+ \| 100\.00 \| 100\.00 \|$/m && $page =~ /^WBCsNet-2, all 10 folds: accuracy \Q$share\E /m, "the record's page has ten folds");
ok(slurp("$tmp/x/$full/fig6.svg") =~ /WBCsNet-2, all 10 folds/, 'so has the chart');
($code, $said) = report('--check');
ok($code == 0, 'and a second look finds nothing to renew');

# The report from an archive that is not complete, without its cells; drawn cells that none of its runs is on may be others than here.
my $others = join ' ', map { "$_='--counts 4,4,4,4,4'" } qw(SYNTH_3 SYNTH_full_3);
if (grep { !-x "/usr/bin/$_" } qw(gnuplot pdflatex bibtex pdftotext)) { print "# no report without gnuplot, LaTeX and pdftotext\n" }
else {
    for my $case (["$full/runs.tar.gz", 'the record'], ["$tmp/ten.tar.gz", 'these runs']) {
        my ($archive, $column) = @$case;
        ($code, $said) = sh("make --no-print-directory paper RUNS='$archive' $others WORK='$tmp/w' PAPER='$tmp/paper.pdf' WBCSNET='$program' NVCC=");
        my $text = qx(pdftotext -layout -l 1 '$tmp/paper.pdf' -);
        my $flat = qx(pdftotext -l 2 '$tmp/paper.pdf' -) =~ s/\s+/ /gr =~ s/\xe2\x80\x99/'/gr;
        my ($told) = $said =~ /^(Of the paper's \d+ claims: .* not comparable \d+)/m;
        my $times = () = $flat =~ /\Q$told\E/g if $told;
        ok($told && $times == 2 && ($column ne 'the record' || $told eq $tally), 'the terminal, the first page, the abstract' . ($column eq 'the record' ? ' and README' : '') . ' count alike') or print "# $told: $times; $tally\n";
        my ($seconds) = qx(experiments/archive show '$archive') =~ / DATE=(\d+)/;
        my $day = $seconds ? qx(date -u -d '\@$seconds' '+%-d %B %Y') =~ s/\n//r : '?';
        ok($flat =~ /runs by wbcsnet version \S+, of \Q$day\E; set by version \S+/, "the day is that of the runs' version ($day)");
        my ($some) = $said =~ /\((?:.*; )?(\d+ of \d+) runs\)$/m;
        ok($code == 0 && defined $some && $said !~ /TRAIN/, "make paper RUNS= of $archive" =~ s/\Q$tmp\E\///r) or print $said =~ s/^/# /gmr;
        ok($text =~ /real cells/ && $text =~ /\Q$some\E\s+runs\s+are finished/, 'its first page says how much it holds, and of which cells');
        ok($text =~ /claim +published +the record( +these runs)? +verdict/ && !!$1 == ($column eq 'these runs'), "and has the record's column" . ($column eq 'these runs' ? ', and its own' : ' alone'));
        ok(qx(pdftotext '$tmp/paper.pdf' -) !~ /\?\?/, 'no reference is open');
    }
    ($code, $said) = sh("make --no-print-directory paper RUNS='$tmp/ten.tar.gz' ONLY=leakage WORK='$tmp/w' PAPER='$tmp/paper.pdf' WBCSNET='$program' NVCC=");
    ok($code != 0 && $said =~ /found none of the runs of ONLY=leakage|the scale full leaves that out/, 'a part that it does not hold: one message') or print $said =~ s/^/# /gmr;
}
print "1..$n\n";
