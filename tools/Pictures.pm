# Pictures.pm: what the tools that draw for the book share (tour, beliefs, sketches): files, cells, weights, PNG.
package Pictures;
use strict; use warnings;
use Compress::Zlib qw(compress uncompress crc32);
use Exporter 'import';
use JSON::PP;
our @EXPORT = qw(slurp spill table read_weights read_cell read_mask write_png mosaic sum wilson fair);

sub slurp { my $f = shift; open my $h, '<:raw', $f or die "$0: $f: $!\n"; local $/; <$h> }
sub spill { my ($f, $text) = @_; open my $h, '>:raw', $f or die "$0: $f: $!\n"; print $h $text; close $h or die "$0: $f: $!\n" }
# The rows of a CSV without quotes, each a hash.
sub table { my ($h, @rows) = map { [split /,/] } split /\n/, slurp(shift); map { my $r = $_; +{ map { $h->[$_] => $r->[$_] } 0 .. $#$h } } @rows }

# The words about a weights file, and its tensors: name => values.
sub read_weights {
    my $bytes = slurp(shift);
    my $n = unpack 'Q<', $bytes;
    my $head = decode_json(substr $bytes, 8, $n);
    my $meta = delete $head->{__metadata__};
    return ($meta, { map { my ($from, $to) = @{$head->{$_}{data_offsets}}; $_ => [unpack 'f<*', substr $bytes, 8 + $n + $from, $to - $from] } keys %$head });
}

# An uncompressed TIFF of 8-bit RGB in one strip, as wbcsnet synth writes it: side, and the values row by row.
sub read_cell {
    my $bytes = slurp(shift);
    my %tag = map { my ($t, $type, $n, $v) = unpack 'v v V V', $_; $t => $type == 3 && $n == 1 ? $v & 0xffff : $v } unpack '(a12)*', substr $bytes, 10, 12 * unpack('v', substr $bytes, 8, 2);
    $tag{259} == 1 or die "$0: found compression $tag{259}, expected a plain TIFF\n";
    return ($tag{256}, [unpack 'C*', substr $bytes, $tag{273}, 3 * $tag{256} * $tag{257}]);
}

# A PNG of 8-bit RGB: side, and its red values.
sub read_mask {
    my $bytes = slurp(shift);
    my ($w, $h) = unpack 'NN', substr $bytes, 16, 8;
    my ($at, $data) = (8, '');
    while ($at < length $bytes) { my ($n, $name) = unpack 'Na4', substr $bytes, $at, 8; $data .= substr $bytes, $at + 8, $n if $name eq 'IDAT'; $at += 12 + $n }
    my (@up, @red);
    for (unpack '(a' . (1 + 3 * $w) . ')*', uncompress($data)) {
        my ($filter, @v) = unpack 'C*', $_;
        for my $i (0 .. $#v) {     # what each filter took away: nothing, left, above, their mean, or the nearest to left + above - corner
            my ($a, $b, $c) = ($i > 2 ? $v[$i - 3] : 0, $up[$i] // 0, $i > 2 ? $up[$i - 3] // 0 : 0);
            my ($pa, $pb, $pc) = (abs($b - $c), abs($a - $c), abs($a + $b - 2 * $c));
            $v[$i] = ($v[$i] + (0, $a, $b, int(($a + $b) / 2), $pa <= $pb && $pa <= $pc ? $a : $pb <= $pc ? $b : $c)[$filter]) & 255;
        }
        @up = @v;
        push @red, @v[map { 3 * $_ } 0 .. $w - 1];
    }
    return ($w, \@red);
}

# A PNG of w x h pixels of 1 or 3 channels, each pixel enlarged.
sub write_png {
    my ($file, $w, $h, $channels, $enlarge, $v) = @_;
    my $rows = '';
    for my $y (0 .. $h - 1) {
        my $row = "\0" . join '', map { pack('C*', @$v[$channels * ($w * $y + $_) .. $channels * ($w * $y + $_) + $channels - 1]) x $enlarge } 0 .. $w - 1;
        $rows .= $row x $enlarge;
    }
    my $chunk = sub { my ($name, $b) = @_; pack('N', length $b) . $name . $b . pack('N', crc32($name . $b)) };
    spill($file, "\x89PNG\r\n\x1a\n" . $chunk->('IHDR', pack 'NNCCCCC', $w * $enlarge, $h * $enlarge, 8, $channels == 3 ? 2 : 0, 0, 0, 0) . $chunk->('IDAT', compress($rows, 9)) . $chunk->('IEND', ''));
}

# Square pictures of one side and 3 channels, so many in a row, on white.
sub mosaic {
    my ($file, $side, $across, $enlarge, @cells) = @_;
    my ($w, $h) = ($across * ($side + 2) - 2, int((@cells + $across - 1) / $across) * ($side + 2) - 2);
    my @v = (255) x (3 * $w * $h);
    for my $k (0 .. $#cells) {
        my ($y0, $x0) = (int($k / $across) * ($side + 2), $k % $across * ($side + 2));
        for my $y (0 .. $side - 1) { my $at = 3 * (($y0 + $y) * $w + $x0); @v[$at .. $at + 3 * $side - 1] = @{$cells[$k]}[3 * $side * $y .. 3 * $side * ($y + 1) - 1] }
    }
    write_png($file, $w, $h, 3, $enlarge, \@v);
}

sub sum { my $s = 0; $s += $_ for @_; $s }
# Wilson's 95 % interval of k of n.
sub wilson { my ($k, $n) = @_; my ($z, $p) = (1.959963984540054, $k / $n); my $m = ($p + $z * $z / 2 / $n) / (1 + $z * $z / $n); my $r = $z / (1 + $z * $z / $n) * sqrt($p * (1 - $p) / $n + $z * $z / 4 / $n / $n); ($m - $r, $m + $r) }

# A plain generator that every machine draws alike: a function that gives a number from 0 to 1 at each call.
sub fair { my $state = shift; sub { $state = ($state * 1103515245 + 12345) % 2147483648; int($state / 65536) / 32768 } }
1;
