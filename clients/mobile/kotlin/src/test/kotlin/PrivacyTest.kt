import java.nio.ByteBuffer
import java.nio.ByteOrder.LITTLE_ENDIAN
import kotlin.math.abs
import kotlin.math.sqrt
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import uniffi.aegis.CoreException
import uniffi.aegis.FlClientCore
import uniffi.aegis.NamedTensor
import uniffi.aegis.privacyEpsilon
import uniffi.aegis.privacyRounds
import uniffi.aegis.privacySigma

fun bytesOf(vararg values: Float): ByteArray =
    ByteBuffer.allocate(4 * values.size).order(LITTLE_ENDIAN).apply { values.forEach(::putFloat) }.array()

fun floatsOf(bytes: ByteArray): List<Float> =
    ByteBuffer.wrap(bytes).order(LITTLE_ENDIAN).asFloatBuffer().let { view -> List(view.remaining()) { view.get() } }

fun failure(work: () -> Unit): CoreException.Failed = assertThrows(CoreException.Failed::class.java, work)

class PrivacyTest {
    private fun tensor(vararg values: Float) = NamedTensor("w", "<f4", bytesOf(*values))

    @Test
    fun anUpdateIsClippedAndNoised() {
        val done = FlClientCore("data/", 1e-6, 1.0).privatizeUpdate(listOf(tensor(3f, 4f)))
        assertEquals(5.0, done.norm, 1e-9)
        assertTrue(done.clipped)
        val (first, second) = floatsOf(done.weights.single().elements)
        assertEquals(0.6f, first, 1e-4f)
        assertEquals(0.8f, second, 1e-4f)
    }

    @Test
    fun theNoiseHasTheSigmaThatWasAsked() {
        val zeros = NamedTensor("w", "<f4", ByteArray(4 * 65536))
        val noise = floatsOf(FlClientCore("", 0.5, 1.0).privatizeUpdate(listOf(zeros)).weights.single().elements)
        val variance = noise.sumOf { it.toDouble() * it } / noise.size
        // eight deviations of a variance of 65,536 samples
        assertTrue("$variance", abs(variance / 0.25 - 1) < 8 * sqrt(2.0 / noise.size))
    }

    @Test
    fun aBudgetGivesTheLeastNoise() {
        // Balle & Wang 2018: 3.730632 for (1, 1e-5) and a sensitivity of 1
        assertEquals(3.730632, FlClientCore.ofBudget("", 0.5, 1.0, 1e-5).dpSigma(), 1e-4)
    }

    @Test
    fun whatCannotBeProtectedIsRefusedByName() {
        val core = FlClientCore("", 1.0, 1.0)
        val refused = failure { core.privatizeUpdate(listOf(tensor(Float.NaN))) }
        assertEquals("VALUE_NOT_FINITE", refused.code)
        assertEquals("w", refused.detail["tensor"])
        assertEquals("TENSOR_NOT_NOISED", failure { core.privatizeUpdate(listOf(NamedTensor("n", "<i8", ByteArray(8)))) }.code)
        assertEquals("ARGUMENT", failure { FlClientCore("", 0.0, 1.0) }.code)
    }

    @Test
    fun accountingSaysWhatTheOtherLanguagesSay() {
        val gaussian = """[{"mechanism": "gaussian", "noise-multiplier": 1.0, "sampling": {"kind": "none"},
            "relation": "add-or-remove-one", "count": 1}]"""
        // the analytic Gaussian at σ = 1, δ = 1e-5
        assertEquals(4.377, privacyEpsilon(gaussian, 1e-5).epsilon, 1e-3)
        assertEquals("PRIVACY_PARAMETER", failure { privacyEpsilon(gaussian, 2.0) }.code)
        assertEquals("PRIVACY_EVENT", failure { privacyEpsilon("[{}]", 1e-5) }.code)
        val open = gaussian.replace(""""noise-multiplier": 1.0, """, "")
        assertEquals(3.7306, privacySigma(open, 1.0, 1e-5).noiseMultiplier, 1e-3)
        val rounds = privacyRounds(gaussian, 10.0, 1e-5)
        assertTrue("${rounds.rounds}", rounds.rounds >= 2u && rounds.spent!!.epsilon <= 10.0)
    }
}
