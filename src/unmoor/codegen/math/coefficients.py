"""Polynomial coefficients, lowest degree first. Written by tools/fit_polynomials.py; see there for each."""

EXP_32 = (
    float.fromhex("0x1.0000000000000p-1"),
    float.fromhex("0x1.5554dc0000000p-3"),
    float.fromhex("0x1.5555180000000p-5"),
    float.fromhex("0x1.120be20000000p-7"),
    float.fromhex("0x1.6d117c0000000p-10"),
)

EXP_64 = (
    float.fromhex("0x1.0000000000000p-1"),
    float.fromhex("0x1.5555555555557p-3"),
    float.fromhex("0x1.5555555555556p-5"),
    float.fromhex("0x1.11111111100bep-7"),
    float.fromhex("0x1.6c16c16c162fep-10"),
    float.fromhex("0x1.a01a01abf85abp-13"),
    float.fromhex("0x1.a01a01a6d03ffp-16"),
    float.fromhex("0x1.71de01fdbf9cap-19"),
    float.fromhex("0x1.27e4db6b6fe76p-22"),
    float.fromhex("0x1.af4e554377204p-26"),
    float.fromhex("0x1.1f7309845b618p-29"),
)

EXP2_32 = (
    float.fromhex("0x1.62e4300000000p-1"),
    float.fromhex("0x1.ebfbe00000000p-3"),
    float.fromhex("0x1.c6af6c0000000p-5"),
    float.fromhex("0x1.3b2a540000000p-7"),
    float.fromhex("0x1.5f08900000000p-10"),
    float.fromhex("0x1.44138a0000000p-13"),
)

LOG_32 = (
    float.fromhex("0x1.5555540000000p-2"),
    float.fromhex("-0x1.fffffc0000000p-3"),
    float.fromhex("0x1.999d5c0000000p-3"),
    float.fromhex("-0x1.555b520000000p-3"),
    float.fromhex("0x1.23d1d80000000p-3"),
    float.fromhex("-0x1.fcf2ac0000000p-4"),
    float.fromhex("0x1.dea5a60000000p-4"),
    float.fromhex("-0x1.d648040000000p-4"),
    float.fromhex("0x1.1d9df20000000p-4"),
)

LOG_RATIO_64 = (
    float.fromhex("0x1.5555555555555p-1"),
    float.fromhex("0x1.9999999999a38p-2"),
    float.fromhex("0x1.2492492476ba1p-2"),
    float.fromhex("0x1.c71c72017a15cp-3"),
    float.fromhex("0x1.745cf8f6c9119p-3"),
    float.fromhex("0x1.3b1c38474d3eep-3"),
    float.fromhex("0x1.0fbe478772696p-3"),
    float.fromhex("0x1.0c06cf14c641bp-3"),
)

SIN_32 = (
    float.fromhex("-0x1.5555520000000p-3"),
    float.fromhex("0x1.110c260000000p-7"),
    float.fromhex("-0x1.9ac8440000000p-13"),
)

SIN_64 = (
    float.fromhex("-0x1.5555555555555p-3"),
    float.fromhex("0x1.1111111110babp-7"),
    float.fromhex("-0x1.a01a019e81f4bp-13"),
    float.fromhex("0x1.71de379452125p-19"),
    float.fromhex("-0x1.ae6008b321baep-26"),
    float.fromhex("0x1.5e0a44fa8765ap-33"),
)

COS_32 = (
    float.fromhex("0x1.5555540000000p-5"),
    float.fromhex("-0x1.6c12d00000000p-10"),
    float.fromhex("0x1.9bd7780000000p-16"),
)

COS_64 = (
    float.fromhex("0x1.5555555555555p-5"),
    float.fromhex("-0x1.6c16c16c16963p-10"),
    float.fromhex("0x1.a01a019f4dd4cp-16"),
    float.fromhex("-0x1.27e4fa16bdc76p-22"),
    float.fromhex("0x1.1eeb67c12a0b4p-29"),
    float.fromhex("-0x1.907cce35dd891p-37"),
)

ATAN_32 = (
    float.fromhex("-0x1.5555560000000p-2"),
    float.fromhex("0x1.9998f20000000p-3"),
    float.fromhex("-0x1.24733e0000000p-3"),
    float.fromhex("0x1.c2d66c0000000p-4"),
    float.fromhex("-0x1.514dfc0000000p-4"),
    float.fromhex("0x1.5a176e0000000p-5"),
)

ATAN_64 = (
    float.fromhex("-0x1.5555555555555p-2"),
    float.fromhex("0x1.9999999999999p-3"),
    float.fromhex("-0x1.24924924923c8p-3"),
    float.fromhex("0x1.c71c71c710c3dp-4"),
    float.fromhex("-0x1.745d1742fbb23p-4"),
    float.fromhex("0x1.3b13b0d0b6acdp-4"),
    float.fromhex("-0x1.111106dc43ef5p-4"),
    float.fromhex("0x1.e1e088a795cddp-5"),
    float.fromhex("-0x1.af183776f8b79p-5"),
    float.fromhex("0x1.858b7717b9d7ap-5"),
    float.fromhex("-0x1.60ae63e87929dp-5"),
    float.fromhex("0x1.3785fe5a56ccbp-5"),
    float.fromhex("-0x1.f2de22733c1a1p-6"),
    float.fromhex("0x1.34e81b8ad771cp-6"),
    float.fromhex("-0x1.a28f0cbbb9c4cp-8"),
)

ASIN_32 = (
    float.fromhex("0x1.5555540000000p-3"),
    float.fromhex("0x1.3334300000000p-4"),
    float.fromhex("0x1.6d5bba0000000p-5"),
    float.fromhex("0x1.fd8da20000000p-6"),
    float.fromhex("0x1.18f91e0000000p-6"),
    float.fromhex("0x1.13fed40000000p-5"),
)

ASIN_64 = (
    float.fromhex("0x1.5555555555555p-3"),
    float.fromhex("0x1.3333333333388p-4"),
    float.fromhex("0x1.6db6db6dac1e0p-5"),
    float.fromhex("0x1.f1c71c7a52ba3p-6"),
    float.fromhex("0x1.6e8ba123e494cp-6"),
    float.fromhex("0x1.1c4efce23019fp-6"),
    float.fromhex("0x1.c990ad3d8fdcap-7"),
    float.fromhex("0x1.7b027ee1dd585p-7"),
    float.fromhex("0x1.3b49de7121487p-7"),
    float.fromhex("0x1.31622469ce5adp-7"),
    float.fromhex("0x1.8f193743418ffp-9"),
    float.fromhex("0x1.406192d124629p-6"),
    float.fromhex("-0x1.3b416bb7d9257p-6"),
    float.fromhex("0x1.e529c6fce9bb4p-6"),
)

SINH_64 = (
    float.fromhex("0x1.5555555555555p-3"),
    float.fromhex("0x1.11111111110fdp-7"),
    float.fromhex("0x1.a01a01a01ee70p-13"),
    float.fromhex("0x1.71de3a4e14f40p-19"),
    float.fromhex("0x1.ae6460fae3728p-26"),
    float.fromhex("0x1.611cb330c1fe8p-33"),
    float.fromhex("0x1.b41232cf9950fp-41"),
)

ERF_SMALL_64 = (
    float.fromhex("0x1.06eba8214db69p-3"),
    float.fromhex("-0x1.812746b0379e0p-2"),
    float.fromhex("0x1.ce2f21a0424c3p-4"),
    float.fromhex("-0x1.b82ce31257412p-6"),
    float.fromhex("0x1.565bcd03657c0p-8"),
    float.fromhex("-0x1.c02db1220cfe6p-11"),
    float.fromhex("0x1.f9a2afa3a8f86p-14"),
    float.fromhex("-0x1.f4c5debf1228ap-17"),
    float.fromhex("0x1.b90ecd4aeec12p-20"),
    float.fromhex("-0x1.564f71bbc0d35p-23"),
    float.fromhex("0x1.8a312cb07e6ccp-27"),
)

ERFCX_64 = (
    float.fromhex("0x1.3ba5916e9fd7fp+0"),
    float.fromhex("-0x1.1df1ad154a28ep-3"),
    float.fromhex("0x1.f7f5df66fd3b5p-7"),
    float.fromhex("0x1.16ecefcfa527fp-4"),
    float.fromhex("-0x1.9ddb23c3e3d80p-4"),
    float.fromhex("0x1.7fee004e235a0p-4"),
    float.fromhex("-0x1.0fb06dff78d59p-4"),
    float.fromhex("0x1.3079edeb3a578p-5"),
    float.fromhex("-0x1.0962381e40587p-6"),
    float.fromhex("0x1.49c67edc6961dp-8"),
    float.fromhex("-0x1.8d4a971859277p-11"),
    float.fromhex("-0x1.a1f4978c62adap-13"),
    float.fromhex("0x1.3baa9248239efp-13"),
    float.fromhex("-0x1.980f4d28bd75bp-16"),
    float.fromhex("-0x1.5d3ede7ea2f18p-17"),
    float.fromhex("0x1.f1c613ca8fcf6p-18"),
    float.fromhex("0x1.0b3e7efb5b0b4p-19"),
    float.fromhex("-0x1.0908c2d1c1795p-23"),
)

ERF_LOG_32 = (
    float.fromhex("0x1.45f2fe0000000p-1"),
    float.fromhex("0x1.a4f94a0000000p-4"),
    float.fromhex("-0x1.39bf380000000p-6"),
    float.fromhex("-0x1.5ce24c0000000p-13"),
    float.fromhex("0x1.b679fe0000000p-10"),
    float.fromhex("-0x1.4d53980000000p-11"),
    float.fromhex("0x1.f0bab40000000p-14"),
    float.fromhex("-0x1.396ff60000000p-17"),
)
