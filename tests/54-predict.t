#!/usr/bin/perl
# predict: the same probabilities as the run's own predictions; three forms; damaged and foreign files.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;

my $rows = make_set(tmp('set'), 12, [10, 8, 6, 8, 8]);
write_file(tmp('tiny.net'), "name tiny\ntitle Tiny net\ninput 8 8 3\nconv conv1 filters 4 kernel 3 stride 1 pad same\nbn bn1\nrelu relu1\n"
    . "fc fc1 units 8\ndropout drop1 p 0.5\nfc fc2 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 8\nepochs 3\n");
my ($code, $out, $err) = run(job(out => 'a', quiet => 1));
ok($code == 0, 'a net is trained') or print "# $err\n";
my $w = tmp('a/weights.safetensors');

my %told = map { $_->[0] => $_ } log_rows(tmp('a/predictions.csv'));
my @held = sort keys %told;
($code, $out, $err) = run('predict', '--weights', $w, '--csv', map { tmp("set/$_") } @held);
my @row = map { [split /,/] } split /\n/, $out;
ok(join(',', @{shift @row}) eq 'file,predicted,' . join(',', @Job::class), 'CSV begins with the names of the columns');
my ($same, $worst) = (@row == @held, 0);
for my $i (0 .. $#row) {
    my $t = $told{$held[$i]};
    $same &&= $row[$i][1] eq $t->[2];
    for (0 .. 4) { my $d = abs($row[$i][2 + $_] - $t->[3 + $_]); $worst = $d if $d > $worst }
}
ok($code == 0 && $same && $worst <= 1e-6, "classes and probabilities are those of predictions.csv (worst difference $worst)") or print "# $code $err\n";

($code, $out, $err) = run('predict', '--weights', $w, tmp('set'));
my @line = split /\n/, $out;
ok($code == 0 && @line == 1 + @$rows && $line[0] =~ /^class +p +file$/, 'a folder stands for the images in it, labels.csv left out');
my @file = map { (split)[2] } @line[1 .. $#line];
ok("@file" eq join(' ', sort @file), 'in the order of their names');
($code, $out, $err) = run('predict', '--weights', $w, '--json', tmp("set/$held[0]"));
ok($code == 0 && $out =~ /^\{"file": ".*", "class": "\w+", "probabilities": \{"neutrophil": [\d.e-]+, .*\}\}\n$/, 'JSON, one object a line');

write_file(tmp('broken.tif'), 'II*' . 'x' x 50);
($code, $out, $err) = run('predict', '--weights', $w, '--csv', tmp('broken.tif'), tmp("set/$held[0]"));
ok($code == 3 && $err =~ /broken\.tif/ && $out =~ /\Q$held[0]\E/, 'an unreadable image is told, the others are classified, exit 3');
for my $bad (['none.tif', 3], ['a/log.csv', 3], ['a/run.json', 3]) {
    ($code, $out, $err) = run('predict', '--weights', $w, tmp($bad->[0]));
    ok($code == $bad->[1] && $err =~ /\Q$bad->[0]\E/, "$bad->[0] is an error");
}
($code, $out, $err) = run('predict', tmp('set'));
ok($code == 2 && $err =~ /--weights/, 'no weights: a usage error');
($code, $out, $err) = run('predict', '--weights', tmp('a/log.csv'), tmp('set'));
ok($code == 3 && $err =~ /log\.csv/, 'foreign weights are refused');

# Weights whose notes were tampered with, keeping every length.
my $good = read_file($w);
my %change = (
    'net text' => sub { $_[0] =~ s/kernel 3/kernel 5/r }, 'a tensor name' => sub { $_[0] =~ s/"fc1\.bias"/"fc1.bios"/r },
    'the classes' => sub { $_[0] =~ s/"classes":"\[/"classes":"{/r }, 'the hash' => sub { $_[0] =~ s/"net_sha256":"../"net_sha256":"xx/r },
    'a shape' => sub { $_[0] =~ s/("fc1\.weight":\{"dtype":"F32","shape":\[)8,256/${1}256,8/r }, 'its end' => sub { substr $_[0], 0, -1 },
);
for my $c (sort keys %change) {
    my $bytes = $change{$c}->($good);
    write_file(tmp('bad.safetensors'), $bytes);
    ($code, $out, $err) = run('predict', '--weights', tmp('bad.safetensors'), tmp("set/$held[0]"));
    ok($bytes ne $good && $code == 3 && $err =~ /bad\.safetensors/, "weights with $c changed are refused") or print "# $code $err\n";
}
my $flipped = $good;
substr($flipped, -5, 1) ^= "\x01";
write_file(tmp('bad.safetensors'), $flipped);
($code, $out, $err) = run('predict', '--weights', tmp('bad.safetensors'), tmp("set/$held[0]"));
ok($code == 3 && $err =~ /bad\.safetensors.*not those that were written/, 'a flipped bit in a weight is noticed') or print "# $code $err\n";
my $unsummed = $flipped =~ s/"data_sum"/"data_som"/r =~ s/"header_sum"/"header_som"/r;   # as other programs' files, which have neither
write_file(tmp('bad.safetensors'), $unsummed);
($code, $out, $err) = run('predict', '--weights', tmp('bad.safetensors'), tmp("set/$held[0]"));
ok($code == 0, 'a file without the sums is read unchecked') or print "# $code $err\n";
my ($place) = $good =~ /"conv1\.weight":\{[^}]*"data_offsets":\[(\d+)/;
substr($unsummed, 8 + unpack('Q<', $good) + $place, 4) = pack 'f<', 9**9**9 / 9**9**9;
write_file(tmp('bad.safetensors'), $unsummed);
($code, $out, $err) = run('predict', '--weights', tmp('bad.safetensors'), tmp("set/$held[0]"));
ok($code == 3 && $err =~ /not finite/, 'a NaN in the first convolution is refused, though a rectifier hides it') or print "# $code $out $err\n";
# The same net as other programs keep it, in numbers of two bytes: exact where they can hold the weights, our notes still in it.
sub halves {
    my ($bytes, $type) = @_;
    my $n = unpack 'Q<', $bytes;
    my ($header, $data, $new, %at) = (substr($bytes, 8, $n), substr($bytes, 8 + $n), '');
    $header =~ s/("dtype":")F32(","shape":\[[\d,]*\],"data_offsets":\[)(\d+),(\d+)\]/my ($a, $b, $to) = ($3, $4, length $new);
        $new .= join '', map { pack 'v', unpack('V', pack 'f<', $_) >> 16 } unpack 'f<*', substr $data, $a, $b - $a if $type eq 'BF16';
        $new .= join '', map { my $x = unpack 'V', pack 'f<', $_; my $e = ($x >> 23 & 255) - 112; pack 'v', ($x >> 16 & 0x8000) | ($e > 0 && $e < 31 ? $e << 10 | ($x >> 13 & 1023) : 0) } unpack 'f<*', substr $data, $a, $b - $a if $type eq 'F16';
        "$1$type$2$to," . length($new) . ']'/ge;
    return pack('Q<', length $header) . $header . $new;
}
# and back to F32, what they then hold: by definition, and by bits
sub widened {
    my ($bytes, $half) = @_;
    my $n = unpack 'Q<', $bytes;
    my $m = unpack 'Q<', $half;
    my @x = unpack 'v*', substr $half, 8 + $m;
    my $type = substr($half, 8, $m) =~ /"BF16"/;
    my $data = join '', map { my $h = $_; $type ? pack 'V', $h << 16 : do { my ($e, $f) = ($h >> 10 & 31, $h & 1023); pack 'f<', ($h & 0x8000 ? -1 : 1) * ($e ? (1 + $f / 1024) * 2 ** ($e - 15) : $f * 2 ** -24) } } @x;
    return substr($bytes, 0, 8 + $n) =~ s/"data_sum"/"data_som"/r =~ s/"header_sum"/"header_som"/r . $data;
}
for my $type ('F16', 'BF16') {
    write_file(tmp('half.safetensors'), halves($good, $type));
    write_file(tmp('wide.safetensors'), widened($good, read_file(tmp('half.safetensors'))));
    my @said = map { ($code, $out, $err) = run('predict', '--weights', tmp("$_.safetensors"), '--csv', map { tmp("set/$_") } @held); $code ? "exit $code $err" : $out } 'half', 'wide';
    ok($said[0] =~ /^file,/ && $said[0] eq $said[1], "weights of $type give what the same numbers of F32 give, to the last digit") or print "# $said[0] $said[1]";
    ($code, $out, $err) = run('evaluate', '--data', tmp('set'), '--weights', tmp('half.safetensors'));
    ok($code == 0 && $out =~ /^accuracy/m, '... evaluate reads them') or print "# $err";
    ($code, $out, $err) = run(job(out => "from$type", init => tmp('half.safetensors'), 'init-all' => 1, with => 'epochs=1,learning_rate=0'));
    my ($from, $wide) = map { weights($_) } tmp("from$type/weights.safetensors"), tmp('wide.safetensors');
    ok($code == 0 && "@{$from->{'conv1.weight'}}" eq "@{$wide->{'conv1.weight'}}", '... and train --init') or print "# $err";
    # as torch saves a dictionary of tensors: no notes
    my $half = read_file(tmp('half.safetensors'));
    my $m = unpack 'Q<', $half;
    my $bare = substr($half, 8, $m) =~ s/"__metadata__":\{(?:"(?:[^"\\]|\\.)*"[:,]?)*\},?//r;
    write_file(tmp('bare.safetensors'), pack('Q<', length $bare) . $bare . substr $half, 8 + $m);
    ($code, $out, $err) = run(job(out => "bare$type", init => tmp('bare.safetensors'), 'init-all' => 1, with => 'epochs=1,learning_rate=0'));
    my $same = weights(tmp("bare$type/weights.safetensors"));
    ok($code == 0 && !grep({ ref $from->{$_} && "@{$same->{$_}}" ne "@{$from->{$_}}" } keys %$from), '... which takes the same from a file that lost its notes') or print "# $err";
    ($code, $out, $err) = run('predict', '--weights', tmp('bare.safetensors'), tmp("set/$held[0]"));
    ok($code == 3 && $err =~ /no note.*lacks the net; train --init/s, '... and predict says that it lacks the net') or print "# $err";
}
write_file(tmp('bad.safetensors'), $unsummed =~ s/"F32"/"F99"/r);
($code, $out, $err) = run('predict', '--weights', tmp('bad.safetensors'), tmp("set/$held[0]"));
ok($code == 3 && $err =~ /of type F99, which this program does not know/ && $err !~ /damaged/, 'an unknown type is named, and not called damage') or print "# $err";
# --explain: the decisive window is where covering it, by hand here, changes the probability by what is told. Without a mean image the cover is 128.
make_set(tmp('eight'), 8, [10, 8, 6, 8, 8], seed => 4);
write_file(tmp('raw.conf'), "batch 8\nepochs 3\nnormalise none\nlearning_rate 0.00001\n");
run(job(out => 'raw', quiet => 1, data => tmp('eight'), recipe => tmp('raw.conf')));
my $raw = tmp('raw/weights.safetensors');
my ($cell) = glob tmp('eight/monocyte/*');
($code, $out, $err) = run('predict', '--weights', $raw, '--json', '--explain', tmp('maps'), $cell);
my ($class, $y, $x, $size, $drop) = $out =~ /"class": "(\w+)".*"decisive": \{"y": (-?\d+), "x": (-?\d+), "size": (\d+), "drop": ([-+.\de]+)\}\}$/;
ok($code == 0 && defined $drop && $size == 2, 'JSON tells the decisive window') or print "# $code $out $err\n";
my ($before) = $out =~ /"$class": ([\d.e-]+)/;
my $tiff = read_file($cell);
for my $i ($y .. $y + $size - 1) { for my $j ($x .. $x + $size - 1) { substr($tiff, 8 + 3 * (8 * $i + $j), 3) = "\x80" x 3 if $i >= 0 && $j >= 0 && $i < 8 && $j < 8 } }
write_file(tmp('covered.tif'), $tiff);
($code, $out, $err) = run('predict', '--weights', $raw, '--json', tmp('covered.tif'));
my ($after) = $out =~ /"$class": ([\d.e-]+)/;
ok($drop > 0 && abs($before - $after - $drop) < 1e-6, "covering it by hand takes as much from the class: $drop") or print "# $before $after\n";
my ($map) = glob tmp('maps/*');
ok($map =~ /monocyte.*-$class\.png$/ && read_file($map) =~ /^\x89PNG\r\n\x1a\n....IHDR\0\0\x01\xb6\0\0\0\xd8/s, 'and a picture of 438 x 216 is left, named after image and class');
# Two images whose paths become one name have a map each.
mkdir tmp('meet');
mkdir tmp('meet/a');
write_file(tmp($_), read_file($cell)) for 'meet/a/b.tif', 'meet/a_b.tif';
($code, $out, $err) = run('predict', '--weights', $raw, '--explain', tmp('both'), tmp('meet'));
my @maps = glob tmp('both/*');
ok($code == 0 && @maps == 2, 'a/b and a_b have a map each') or print "# $code @maps $err\n";
($code, $out, $err) = run('predict', '--weights', $raw, '--explain', tmp('both'), tmp('meet'));
ok("@maps" eq join(' ', glob tmp('both/*')), '... of the same names when the command is given again');
my $crashed = 0;
my $state = 1;
for (1 .. 150) {
    my $bytes = $good;
    for (1 .. 3) { $state = ($state * 1103515245 + 12345) & 0x7fffffff; substr($bytes, $state % 3000, 1) = chr(($state >> 8) & 255) }
    write_file(tmp('bad.safetensors'), $bytes);
    ($code) = run('predict', '--weights', tmp('bad.safetensors'), '--threads', 1, tmp("set/$held[0]"));
    $crashed++, print "# exit $code at $_\n" if $code != 0 && $code != 3;
}
ok(!$crashed, "150 weights files with damaged headers: $crashed crashed");
done_testing();
