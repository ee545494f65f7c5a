<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// Writes the reference of the client, docs/reference/php.md, from the client's comments: `php clients/php/tests/reference.php`.
// The tests compare the page with what it writes.

require_once __DIR__ . '/../SsePush.php';

const REFERENCE = __DIR__ . '/../../../docs/reference/php.md';

/** The lines of a comment, without its asterisks. */
function comment(Reflector $of): array
{
    return lines((string) $of->getDocComment());
}

function lines(string $comment): array
{
    $lines = preg_split('/\R/', preg_replace('~^/\*\*\s*|\s*\*/$~', '', $comment));
    return array_map(static fn (string $line): string => preg_replace('/^\s*\* ?/', '', $line), $lines);
}

/** The text of a comment above its first tag: paragraphs, and code that is indented. */
function text(array $lines): string
{
    $text = '';
    $code = false;
    foreach ($lines as $line) {
        if (str_starts_with($line, '@')) {
            break;
        }
        $isCode = str_starts_with($line, '    ') || $code && trim($line) === '';
        if ($isCode !== $code) {
            $text = rtrim($text) . ($isCode ? "\n\n```php\n" : "\n```\n\n");
            $code = $isCode;
        }
        $text .= ($code ? substr($line, 4) : trim($line)) . "\n";
    }
    return trim(preg_replace('/\n{3,}/', "\n\n", preg_replace('/\n+```$/m', "\n```", rtrim($text) . ($code ? "\n```" : ''))));
}

/** The tags of a comment, each on one line. */
function tags(array $lines): array
{
    $tags = [];
    foreach ($lines as $line) {
        if (str_starts_with($line, '@')) {
            $tags[] = trim($line);
        } elseif ($tags !== []) {
            $tags[count($tags) - 1] .= ' ' . trim($line);
        }
    }
    return array_map(static fn (string $tag): string => trim(preg_replace('/\s+/', ' ', $tag)), $tags);
}

/** A table of the parameters that a comment says something about: name, type, and what it says. */
function parameters(array $lines, string $first): string
{
    $rows = '';
    foreach (tags($lines) as $tag) {
        if (preg_match('/^@param (.*?) (?:\.\.\.)?\$(\w+) ?(.*)$/', $tag, $m)) {
            $rows .= sprintf("| `%s` | `%s` | %s |\n", $m[2], str_replace('|', '\|', $m[1]), $m[3]);
        }
    }
    return $rows === '' ? '' : "\n| $first | type | meaning |\n|---|---|---|\n$rows";
}

function typeOf(?ReflectionType $type): string
{
    return $type === null ? '' : (string) $type;
}

/** A method as it is called. */
function signature(ReflectionMethod $method, string $class): string
{
    $parameters = [];
    foreach ($method->getParameters() as $p) {
        $default = $p->isDefaultValueAvailable() ? ' = ' . json_encode($p->getDefaultValue()) : '';
        $parameters[] = typeOf($p->getType()) . ($p->isVariadic() ? ' ...$' : ' $') . $p->getName() . $default;
    }
    $name = $method->isStatic() ? "$class::{$method->getName()}" : "->{$method->getName()}";
    return $name . '(' . str_replace('"', "'", implode(', ', $parameters)) . '): ' . typeOf($method->getReturnType());
}

/** A class: what it is, its properties, its methods. */
function described(string $class): string
{
    $of = new ReflectionClass($class);
    $page = "\n## $class\n\n" . text(comment($of)) . "\n";
    $constructor = $of->getConstructor();
    if ($constructor !== null && $of->getProperties(ReflectionProperty::IS_PUBLIC) !== []) {
        $page .= parameters(comment($constructor), 'property');
    }
    foreach ($of->getMethods(ReflectionMethod::IS_PUBLIC) as $method) {
        $lines = comment($method);
        if ($method->isConstructor() || $method->getDeclaringClass()->getName() !== $class || str_contains($method->getDocComment() ?: '', '@internal')) {
            continue;
        }
        $page .= "\n### `" . ($method->isStatic() ? "$class::" : '->') . $method->getName() . "`\n\n```\n" . signature($method, $class) . "\n```\n\n";
        $same = preg_grep('/^@see /', tags($lines));
        $text = $same === [] ? text($lines) : 'As `' . substr(reset($same), 5) . '`.';
        if ($text === '' && $method->getName() !== '__toString') {
            throw new LogicException("$class::{$method->getName()} has no comment");
        }
        $page .= ($text === '' ? 'What happened, in one line for a log.' : $text) . "\n" . parameters($lines, 'parameter');
        foreach (preg_grep('/^@return /', tags($lines)) as $tag) {
            preg_match('/^@return ((?:[^{<\s]|\{(?:[^{}]|\{[^}]*\})*\}|<(?:[^<>]|<[^<>]*>)*>)+) ?(.*)$/', $tag, $m);
            $page .= "\nReturns `$m[1]`" . ($m[2] === '' ? '' : ". $m[2]") . (str_ends_with($tag, '.') ? '' : '.') . "\n";
        }
    }
    return $page;
}

function reference(): string
{
    $page = <<<'MD'
    # The PHP client

    `clients/php/SsePush.php` is one file without a dependency: `require` it, or install `sse-push/client`. PHP 8.1 or newer. This page is written from its
    comments; [Start with PHP](../start/php.md) leads to the first event, [Start with Laravel](../start/laravel.md) to the driver for Laravel's broadcasting.

    MD;
    foreach (['SsePush', 'SsePushEvent', 'SsePushRelay', 'SsePushResult', 'SsePushException'] as $class) {
        $page .= described($class);
    }
    return $page . laravel();
}

/** The options of the driver for Laravel: what the comment of its service provider says, which has all that the provider reads. */
function laravel(): string
{
    $code = (string) file_get_contents(__DIR__ . '/../laravel/src/SsePushServiceProvider.php');
    preg_match('~/\*\*.*?\*/(?=\s*final class)~s', $code, $comment);
    preg_match_all("/config\['(\w+)'\]|connections\.sse_push\.(\w+)/", $code, $read);
    foreach (array_diff(array_filter([...$read[1], ...$read[2]]), ['config']) as $option) {
        if (!str_contains($comment[0], "'$option' =>")) {
            throw new LogicException("the comment of SsePushServiceProvider does not have the option $option");
        }
    }
    return "\n## Laravel\n\n" . str_replace("```php", "```", text(lines($comment[0]))) . "\n"; // a part of a file
}

if (realpath($argv[0] ?? '') === __FILE__) {
    file_put_contents(REFERENCE, reference());
}
