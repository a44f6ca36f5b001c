<?php
// $path is user/slug, $exp when the link expires in seconds since 1970, or empty.
function signed_link(string $base_url, string $path, array $metadata, string $exp = ''): string
{
    $pairs = [];
    foreach ($metadata as $name => $value) {
        $pairs[] = encoded("metadata[$name]") . '=' . encoded($value);
    }
    sort($pairs, SORT_STRING);
    $text = "$path\n$exp\n" . implode('&', $pairs);
    $signature = hash_hmac('sha256', $text, getenv('CALAPP_LINK_KEY')); // lk_…, as it is
    $more = $exp === '' ? ["sig=$signature"] : ["exp=$exp", "sig=$signature"];
    return "$base_url/$path?" . implode('&', [...$pairs, ...$more]);
}

// As JavaScript's encodeURIComponent does.
function encoded(string $text): string
{
    return strtr(rawurlencode($text), ['%21' => '!', '%27' => "'", '%28' => '(', '%29' => ')', '%2A' => '*']);
}
