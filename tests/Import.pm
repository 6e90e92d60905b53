package Import;    # for the tests of import: made pictures, runs of the program, what a data set holds
use strict; use warnings;
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;
use Exporter 'import';
our @EXPORT = qw($dir spit slurp bmp cell run fails out counts rows pixel crc npy npz);

our $wbcsnet = $ENV{WBCSNET} || 'build/wbcsnet';
our $dir = tempdir(CLEANUP => 1);
my $count = 0;

sub spit { my ($path, $text) = @_; make_path(dirname $path); open my $f, '>:raw', $path or die "$path: $!"; print $f $text; close $f }
sub slurp { my $path = shift; open my $f, '<:raw', $path or die "$path: $!"; local $/; <$f> }

# A 24-bit BMP, its header's file size wrong as in LISC; colour(y, x) gives (r, g, b).
sub bmp {
    my ($path, $h, $w, $colour) = @_;
    my $pad = "\0" x (-3 * $w % 4);
    my $rows = join '', map { my $y = $_; join('', map { pack 'C3', reverse $colour->($y, $_) } 0 .. $w - 1) . $pad } reverse 0 .. $h - 1;
    spit($path, 'BM' . pack('VvvV VVVvvVVVVVV', 7, 0, 0, 54, 40, $w, $h, 1, 24, 0, 0, 0, 0, 0, 0) . $rows);
}
# A small picture of its own kind: number n gives its colours.
sub cell { my ($path, $n, $side) = @_; $side ||= 12; bmp($path, $side, $side, sub { my ($y, $x) = @_; (($n * 7 + $x * 3) % 256, ($n * 13 + $y * 5) % 256, ($n + ($n >> 8) * 37 + $x * $y) % 256) }) }

# Runs wbcsnet; returns (exit code, stdout and stderr).
sub run {
    my @command = map { my $s = $_; $s =~ s/'/'\\''/g; "'$s'" } @_;
    my $said = `$wbcsnet @command 2>&1`;
    return ($? >> 8, $said);
}
sub fails {
    my ($what, $code, $like, @command) = @_;
    my ($got, $said) = run(@command);
    ok($got == $code && $said =~ $like, "$what: exit $code and a message") or diag "exit $got: $said";
    my @left = glob("$dir/out*.tmp.*");
    is(scalar @left, 0, "$what: nothing half written is left") or diag "@left";
}
sub out { return "$dir/out" . ++$count }
sub counts { my $json = slurp("$_[0]/dataset.json"); return $json =~ /"counts": \[([^\]]*)\]/ ? $1 : 'none' }
sub rows { my @l = split /\n/, slurp("$_[0]/labels.csv"); shift @l; return @l }
# The pixels of a TIFF of ours: behind the 180 bytes of its frame.
sub pixel { my ($tiff, $side, $y, $x) = @_; return join ' ', unpack 'C3', substr slurp($tiff), 180 + 3 * ($y * $side + $x), 3 }
sub crc { my $c = 0xffffffff; for (unpack 'C*', $_[0]) { $c ^= $_; $c = $c & 1 ? $c >> 1 ^ 0xedb88320 : $c >> 1 for 1 .. 8 } ~$c & 0xffffffff }
# An array as numpy writes it, version 1: text that Python reads, padded to 64 bytes.
sub npy {
    my ($type, $shape, $data, $order) = @_;
    my $head = "{'descr': '$type', 'fortran_order': " . ($order || 'False') . ", 'shape': ($shape), }";
    $head .= ' ' x (-(10 + length($head) + 1) % 64) . "\n";
    return "\x93NUMPY\1\0" . pack('v', length $head) . $head . $data;
}
# A ZIP archive of them. how: deflated, wide (sizes and places in 64 bits, as numpy's are for large arrays).
sub npz {
    my ($path, $how, @member) = @_;
    my ($body, $directory, $n) = ('', '', @member / 2);
    while (my ($name, $data) = splice @member, 0, 2) {
        my ($packed, $method, $size) = ($data, 0, length $data);
        if ($how =~ /deflated/) { my $d = Compress::Raw::Zlib::Deflate->new(-WindowBits => -15, -AppendOutput => 1); $packed = ''; $d->deflate($data, $packed); $d->flush($packed); $method = 8 }
        my ($crc, $at, $wide) = (crc($data), length $body, $how =~ /wide/);
        my @fixed = (20, 0, $method, 0, 0, $crc, ($wide ? (0xffffffff) x 2 : (length $packed, $size)), length "$name.npy");
        my $extra = $wide ? pack 'vvQ<Q<', 1, 16, $size, length $packed : '';
        $body .= 'PK' . pack('CCvvvvvVVVvv', 3, 4, @fixed, length $extra) . "$name.npy$extra$packed";
        $extra = pack('vvQ<Q<Q<', 1, 24, $size, length $packed, $at) if $wide;
        $directory .= 'PK' . pack('CCvvvvvvVVVvvvvvVV', 1, 2, 20, @fixed, length $extra, 0, 0, 0, 0, $wide ? 0xffffffff : $at) . "$name.npy$extra";
    }
    my ($at, $size) = (length $body, length $directory);
    my $end = $how !~ /wide/ ? '' : 'PK' . pack('CCQ<vvVVQ<Q<Q<Q<', 6, 6, 44, 45, 45, 0, 0, $n, $n, $size, $at) . 'PK' . pack('CCVQ<V', 6, 7, 0, $at + $size, 1);
    spit($path, $body . $directory . $end . 'PK' . pack('CCvvvvVVv', 5, 6, 0, 0, $n, $n, $size, $how =~ /wide/ ? 0xffffffff : $at, 0));
    return $path;
}
1;
