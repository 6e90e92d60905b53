package Job;    # for the tests of training: tiny data sets, nets and recipes; runs of the program; TAP
use strict; use warnings;
use Digest::SHA qw(sha256_hex);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Exporter 'import';
our @EXPORT = qw(ok skip done_testing tmp write_file read_file make_set run job start sha weights json_value log_rows clangs_runtime);

our $program = $ENV{WBCSNET} // 'build/wbcsnet';
our $tmp = tempdir('t5.XXXXXX', DIR => $ENV{TMPDIR} // '/tmp', CLEANUP => 1);
our @class = qw(neutrophil eosinophil basophil lymphocyte monocyte);
my ($count, $failed) = (0, 0);

sub ok($$) { my ($good, $what) = @_; $count++; print $good ? '' : 'not ', "ok $count - $what\n"; $failed++ unless $good; $good }
# The prototype of ok gives its first argument scalar context: a failed match in a list is no value at all, and the name would be taken for it.
sub skip { my ($n, $why) = @_; for (1 .. $n) { $count++; print "ok $count # SKIP $why\n" } }
sub done_testing { print "1..$count\n"; exit($failed > 0) }
# Why a test of calls that fail is skipped, where the program has clang's OpenMP runtime; else nothing.
sub clangs_runtime { return qx(ldd $program 2>&1) =~ /libomp/ ? "clang's OpenMP runtime ends by itself where a call fails" : '' }
sub tmp { "$tmp/$_[0]" }
sub write_file { my ($path, $text) = @_; open my $f, '>:raw', $path or die "$path: $!"; print $f $text; close $f or die; $path }
sub read_file { my ($path) = @_; open my $f, '<:raw', $path or return ''; local $/; my $t = <$f>; $t // '' }
sub sha { sha256_hex(read_file($_[0])) }

# A baseline TIFF of width x height pixels, 8-bit RGB, one strip.
sub tiff {
    my ($w, $h, $rgb) = @_;
    my $n = length $rgb; my $at = 8 + $n + $n % 2;
    my @tag = ([256, 4, 1, $w], [257, 4, 1, $h], [258, 3, 3, $at + 126], [259, 3, 1, 1], [262, 3, 1, 2], [273, 4, 1, 8], [277, 3, 1, 3],
               [278, 4, 1, $h], [279, 4, 1, $n], [284, 3, 1, 1]);
    return pack('A2vV', 'II', 42, $at) . $rgb . ("\0" x ($n % 2)) . pack('v', scalar @tag)
        . join('', map { pack('vvVV', @$_) } @tag) . pack('V', 0) . pack('vvv', 8, 8, 8);
}

# A data set of counts[c] cells of each class: a colour of the class's own, plus noise. change: {file => sub of its pixels}.
sub make_set {
    my ($folder, $size, $counts, %o) = @_;
    my ($state, @row) = (($o{seed} // 1) * 7919 + 1);
    my @colour = ([200, 90, 120], [90, 200, 120], [120, 90, 200], [60, 160, 160], [160, 160, 60]);
    for my $c (0 .. $#$counts) {
        make_path("$folder/$class[$c]");
        for my $i (1 .. $counts->[$c]) {
            my $rgb = '';
            for my $p (0 .. $size * $size - 1) {
                for my $k (0 .. 2) { $state = ($state * 1103515245 + 12345) & 0x7fffffff; $rgb .= chr($colour[$c % 5][$k] + ($state >> 16) % 61 - 30 - int($c / 5) % 5 * 5) }
            }
            my $file = sprintf '%s/cell%03d.tif', $class[$c], $i;
            $rgb = $o{change}{$file}->($rgb) if $o{change}{$file};
            my $bytes = tiff($size, $size, $rgb);
            write_file("$folder/$file", $bytes);
            push @row, [$file, $class[$c], sha256_hex($bytes), $rgb];
        }
    }
    @row = sort { $a->[0] cmp $b->[0] } @row;
    my $labels = "file,class,group,sha256\n" . join('', map { "$_->[0],$_->[1],,$_->[2]\n" } @row);
    write_file("$folder/labels.csv", $labels);
    my @n = (@$counts, (0) x (@class - @$counts));
    write_file("$folder/dataset.json", sprintf '{"name": "tiny", "kind": "synthetic", "source": "a test", "height": %d, "width": %d, "classes": [%s],'
        . ' "counts": [%s], "cells": %d, "command": "", "sha256": "%s"}' . "\n", $size, $size, join(', ', map { "\"$_\"" } @class), join(', ', @n),
        scalar @row, sha256_hex($labels));
    return \@row;
}

# Run the program: (exit code or 1000 + signal, stdout, stderr).
sub run {
    my $pid = start(@_);
    waitpid $pid, 0;
    return ($? & 127 ? 1000 + ($? & 127) : $? >> 8, read_file(tmp('stdout')), read_file(tmp('stderr')));
}
sub start {
    my @args = @_;
    my $pid = fork() // die;
    if (!$pid) {
        open STDOUT, '>', tmp('stdout') or die; open STDERR, '>', tmp('stderr') or die;
        exec $program, @args or exit 127;
    }
    return $pid;
}
# The arguments of a training job over the files this module's tests write, with changes: job(out => 'x', with => 'epochs=1').
sub job {
    my %o = (data => tmp('set'), net => tmp('tiny.net'), recipe => tmp('tiny.conf'), folds => 4, fold => 0, seed => 1, device => 'auto',
             threads => 1, @_);
    $o{out} = tmp($o{out});
    my @flags = grep { exists $o{$_} } qw(keep-going quiet init-all identity);
    my %flag = map { $_ => 1 } @flags;
    return ('train', (map { ("--$_", $o{$_}) } grep { !$flag{$_} && defined $o{$_} } sort keys %o), map { "--$_" } grep { $o{$_} } @flags);
}

# The tensors of a safetensors file as {name => [values]}, F32 alone; '' => all their bytes.
sub weights {
    my $bytes = read_file($_[0]);
    my $n = unpack 'Q<', $bytes;
    my ($header, $data) = (substr($bytes, 8, $n), substr($bytes, 8 + $n));
    my %t = ('' => $data, header => $header);
    while ($header =~ /"([\w.]+)":\{"dtype":"F32","shape":\[[\d,]*\],"data_offsets":\[(\d+),(\d+)\]\}/g) { $t{$1} = [unpack 'f<*', substr $data, $2, $3 - $2] }
    return \%t;
}
sub json_value { my ($path, $key) = @_; read_file($path) =~ /"\Q$key\E": ("[^"]*"|[^,}\n]*)/ ? $1 : '' }
sub log_rows { my @r = map { [split /,/] } split /\n/, read_file($_[0]); shift @r; @r }
1;
