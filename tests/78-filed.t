#!/usr/bin/perl
# What reviewers file says one thing: holder, licences, version, dates, addresses, and the time of a check.
use strict; use warnings;
use Test::More;
use JSON::PP;
sub slurp { my ($path) = @_; open my $f, '<:raw', $path or return ''; local $/; return scalar <$f> }
my %text = map { $_ => slurp($_) } qw(LICENSE CITATION.cff codecheck.yml .zenodo.json README.md experiments/jobs.mk tools/version paper/paper.tex);
my $zenodo = decode_json($text{'.zenodo.json'});

my ($holder) = $text{LICENSE} =~ /^Copyright \(c\) \d+ (.*)$/m;
is $zenodo->{creators}[0]{name}, $holder, "one holder: $holder; .zenodo.json";
like $text{$_}, qr/^ +- name: \Q$holder\E$/m, $_ for 'CITATION.cff', 'codecheck.yml';
like $text{'paper/paper.tex'}, qr/pdfauthor=\{\Q$holder\E\}/, "and the report's";

like $text{'CITATION.cff'}, qr/^license: \[MIT, CC-BY-4\.0\]$/m, 'CITATION.cff lists both licences';
is $zenodo->{license}, 'MIT', '.zenodo.json has room for one, the code\'s';
like "$_", qr/Code: MIT\. Text and figures: CC BY 4\.0\b/, 'and in words both are told' for $zenodo->{description}, $text{'CITATION.cff'}, $text{'README.md'};

my ($version) = $text{'CITATION.cff'} =~ /^version: "(\S+)"$/m;
my ($date) = $text{'CITATION.cff'} =~ /^date-released: (\d{4}-\d\d-\d\d)$/m;
ok defined $version && defined $date, 'CITATION.cff has a version and the day of its release' or BAIL_OUT('no version');
is $zenodo->{version}, $version, 'the version is that of .zenodo.json';
is $zenodo->{publication_date}, $date, 'so is the day';
like $text{'tools/version'}, qr/echo "\Q$version\E-book-/, 'and the version is what sources without git call themselves';

unlike $text{'paper/paper.tex'}, qr/ten lines/, 'the report promises no number of lines';
my ($repository) = $text{'codecheck.yml'} =~ /^repository: *(.*)$/m;
ok !defined $repository || $repository =~ m{^https?://\S+$}, 'a repository in codecheck.yml is an address, or left to the checker';
my ($quick) = $text{'experiments/jobs.mk'} =~ /^## paper: .*quick (\d+ min)/m;
like $text{'codecheck.yml'}, qr/make deps paper \(quick, \Q$quick\E /, "one time for the quick paper, $quick, by the Makefile and codecheck.yml";
like $text{'README.md'}, qr/^\| `make paper` \|.*\| \Q$quick\E \|$/m, 'and by README';
my @days = map { /(\d[\d.]* days)/g } @text{'README.md', 'experiments/jobs.mk', 'codecheck.yml'};
is scalar @days, 1, "one time for the full paper (@days)";
my ($block) = $text{'README.md'} =~ /<!-- record: from here(.*?)<!-- record: end -->/s;
like $block, qr/\Q$days[0]\E on two cores/, 'told where it is reckoned from the record';
done_testing;
